/*
 * server.c
 *		Memory contexts, errors and interrupts without a server. See compat.h.
 */
#include "compat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAVE_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_SANITIZER
#endif
#endif

#ifdef HAVE_SANITIZER
/* gcc comes without sanitizer/allocator_interface.h. */
extern size_t __sanitizer_get_current_allocated_bytes(void);
#elif defined(__GLIBC__)
#include <malloc.h>
#endif

typedef struct Block
{
	struct Block *next;
	struct Block **link; /* what points here */
	size_t size;
	char bytes[] __attribute__((aligned(16)));
} Block;

struct MemoryContextData
{
	Block *blocks;
	MemoryContextCallback *callbacks;
};

static struct MemoryContextData the_context;
static size_t memory;
static size_t memory_peak;
static jmp_buf *catcher;

MemoryContext CurrentMemoryContext = NULL;
int server_refused_allocation = -1;
int server_allocations = 0;
int server_interrupt_checks = 0;
ServerError server_error;

/* One is enough: a test that begins another has forgotten to end the first. */
MemoryContext
server_begin_context(void)
{
	if (CurrentMemoryContext != NULL)
		abort();
	CurrentMemoryContext = &the_context;
	memory_peak = memory;
	server_allocations = 0;
	return CurrentMemoryContext;
}

void
server_end_context(void)
{
	/* As the server does it: callbacks first, the last registered before all others. */
	while (the_context.callbacks != NULL)
	{
		MemoryContextCallback *callback = the_context.callbacks;

		the_context.callbacks = callback->next;
		callback->func(callback->arg);
	}
	while (the_context.blocks != NULL)
		pfree(the_context.blocks->bytes);
	CurrentMemoryContext = NULL;
}

void *
MemoryContextAllocExtended(MemoryContext context, Size size, int flags)
{
	Block *block;

	if (server_allocations++ == server_refused_allocation)
	{
		if (flags & MCXT_ALLOC_NO_OOM)
			return NULL;
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	}
	block = malloc(sizeof(Block) + size);
	if (block == NULL)
		abort();
	memset(block->bytes, 0x7F, size);
	block->size = size;
	block->next = context->blocks;
	block->link = &context->blocks;
	if (block->next != NULL)
		block->next->link = &block->next;
	context->blocks = block;
	memory += size;
	if (memory > memory_peak)
		memory_peak = memory;
	return block->bytes;
}

void
pfree(void *bytes)
{
	Block *block = (Block *) ((char *) bytes - offsetof(Block, bytes));

	*block->link = block->next;
	if (block->next != NULL)
		block->next->link = block->link;
	memory -= block->size;
	free(block);
}

void *
MemoryContextAlloc(MemoryContext context, Size size)
{
	return MemoryContextAllocExtended(context, size, 0);
}

void *
palloc(Size size)
{
	return MemoryContextAlloc(CurrentMemoryContext, size);
}

void *
palloc0(Size size)
{
	return memset(palloc(size), 0, size);
}

char *
pstrdup(const char *string)
{
	return memcpy(palloc(strlen(string) + 1), string, strlen(string) + 1);
}

void
MemoryContextRegisterResetCallback(MemoryContext context, MemoryContextCallback *callback)
{
	callback->next = context->callbacks;
	context->callbacks = callback;
}

size_t
server_memory(void)
{
	return memory;
}

size_t
server_memory_peak(void)
{
	return memory_peak;
}

size_t
server_malloc(void)
{
#if defined(HAVE_SANITIZER)
	return __sanitizer_get_current_allocated_bytes();
#elif defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
#else
	return 0;
#endif
}

int
errcode(const char *sqlstate)
{
	memset(&server_error, 0, sizeof(server_error));
	server_error.sqlstate = sqlstate;
	return 0;
}

int
errmsg(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(server_error.message, sizeof(server_error.message), format, arguments);
	va_end(arguments);
	return 0;
}

int
errhint(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(server_error.hint, sizeof(server_error.hint), format, arguments);
	va_end(arguments);
	return 0;
}

void
server_throw(void)
{
	if (catcher == NULL)
		abort();
	longjmp(*catcher, 1);
}

bool
server_throws(void (*attempt)(void *argument), void *argument)
{
	jmp_buf here;
	jmp_buf *volatile outer = catcher;
	volatile bool thrown = true;

	catcher = &here;
	if (setjmp(here) == 0)
	{
		attempt(argument);
		thrown = false;
	}
	catcher = outer;
	return thrown;
}
