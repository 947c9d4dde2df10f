/*
 * server.c
 *		Of PostgreSQL as much as the fuzzed code uses, and the entry from libFuzzer. See fuzz.h.
 *
 * Each allocation is one of malloc's, so that the sanitizers see its ends; a context frees what is left in it. Strings,
 * numbers and UTF-8 are PostgreSQL's own: libpgcommon and libpgport.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mb/pg_wchar.h"
#include "nodes/pg_list.h"
#include "storage/fd.h"

/* Memory */

typedef struct Block
{
	struct Block *next;
	struct Block **link; /* what points here */
	MemoryContext context;
	Size size;
	char bytes[] __attribute__((aligned(16)));
} Block;

/* A MemoryContext is what points to one. */
typedef struct Context
{
	struct Context *parent;
	struct Context *children;
	struct Context *sibling;
	Block *blocks;
	MemoryContextCallback *callbacks;
} Context;

static Context top;
static Context of_errors;

MemoryContext TopMemoryContext = (MemoryContext) &top;
MemoryContext CurrentMemoryContext = (MemoryContext) &top;
MemoryContext ErrorContext = (MemoryContext) &of_errors;

MemoryContext
AllocSetContextCreateInternal(MemoryContext parent, const char *name, Size min_size,
							  Size initial_size, Size max_size)
{
	Context *context = calloc(1, sizeof(Context));

	(void) name;
	(void) min_size;
	(void) initial_size;
	(void) max_size;
	if (context == NULL)
		abort();
	context->parent = (Context *) parent;
	context->sibling = context->parent->children;
	context->parent->children = context;
	return (MemoryContext) context;
}

void
MemoryContextReset(MemoryContext memory)
{
	Context *context = (Context *) memory;

	while (context->children != NULL)
		MemoryContextDelete((MemoryContext) context->children);
	while (context->callbacks != NULL)
	{
		MemoryContextCallback *callback = context->callbacks;

		context->callbacks = callback->next;
		callback->func(callback->arg);
	}
	while (context->blocks != NULL)
		pfree(context->blocks->bytes);
}

void
MemoryContextDelete(MemoryContext memory)
{
	Context *context = (Context *) memory;
	Context **link = &context->parent->children;

	fuzz_require(memory != CurrentMemoryContext);
	MemoryContextReset(memory);
	while (*link != context)
		link = &(*link)->sibling;
	*link = context->sibling;
	free(context);
}

void
MemoryContextRegisterResetCallback(MemoryContext memory, MemoryContextCallback *callback)
{
	Context *context = (Context *) memory;

	callback->next = context->callbacks;
	context->callbacks = callback;
}

static void
link_block(Block *block, Context *context)
{
	block->next = context->blocks;
	block->link = &context->blocks;
	if (block->next != NULL)
		block->next->link = &block->next;
	context->blocks = block;
}

void *
MemoryContextAllocExtended(MemoryContext memory, Size size, int flags)
{
	Block *block;

	if (size > ((flags & MCXT_ALLOC_HUGE) ? MaxAllocHugeSize : MaxAllocSize))
		elog(ERROR, "invalid memory alloc request size %zu", size);
	block = malloc(sizeof(Block) + size);
	if (block == NULL)
		abort();
	memset(block->bytes, (flags & MCXT_ALLOC_ZERO) ? 0 : 0x7F, size);
	block->context = memory;
	block->size = size;
	link_block(block, (Context *) memory);
	return block->bytes;
}

void
pfree(void *bytes)
{
	Block *block = (Block *) ((char *) bytes - offsetof(Block, bytes));

	*block->link = block->next;
	if (block->next != NULL)
		block->next->link = block->link;
	free(block);
}

static void *
reallocate(void *bytes, Size size, int flags)
{
	Block *block = (Block *) ((char *) bytes - offsetof(Block, bytes));
	void *larger = MemoryContextAllocExtended(block->context, size, flags);

	memcpy(larger, bytes, Min(size, block->size));
	pfree(bytes);
	return larger;
}

void *
repalloc(void *bytes, Size size)
{
	return reallocate(bytes, size, 0);
}

void *
repalloc_huge(void *bytes, Size size)
{
	return reallocate(bytes, size, MCXT_ALLOC_HUGE);
}

void *
MemoryContextAlloc(MemoryContext memory, Size size)
{
	return MemoryContextAllocExtended(memory, size, 0);
}

void *
MemoryContextAllocZero(MemoryContext memory, Size size)
{
	return MemoryContextAllocExtended(memory, size, MCXT_ALLOC_ZERO);
}

char *
MemoryContextStrdup(MemoryContext memory, const char *string)
{
	return strcpy(MemoryContextAlloc(memory, strlen(string) + 1), string);
}

void *
MemoryContextAllocZeroAligned(MemoryContext memory, Size size)
{
	return MemoryContextAllocZero(memory, size);
}

void *
MemoryContextAllocHuge(MemoryContext memory, Size size)
{
	return MemoryContextAllocExtended(memory, size, MCXT_ALLOC_HUGE);
}

void *
palloc(Size size)
{
	return MemoryContextAlloc(CurrentMemoryContext, size);
}

void *
palloc0(Size size)
{
	return MemoryContextAllocZero(CurrentMemoryContext, size);
}

void *
palloc_extended(Size size, int flags)
{
	return MemoryContextAllocExtended(CurrentMemoryContext, size, flags);
}

char *
pnstrdup(const char *string, Size size)
{
	Size length = strnlen(string, size);
	char *copy = palloc(length + 1);

	memcpy(copy, string, length);
	copy[length] = '\0';
	return copy;
}

char *
pstrdup(const char *string)
{
	return pnstrdup(string, strlen(string));
}

/* Errors */

sigjmp_buf *PG_exception_stack = NULL;
ErrorContextCallback *error_context_stack = NULL;

static ErrorData the_error;

void
fuzz_failed(const char *what, const char *file, int line)
{
	fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
	abort();
}

#if PG_VERSION_NUM >= 160000
void
ExceptionalCondition(const char *condition, const char *file, int line)
#else
void
ExceptionalCondition(const char *condition, const char *type, const char *file, int line)
#endif
{
#if PG_VERSION_NUM < 160000
	(void) type;
#endif
	fuzz_failed(condition, file, line);
}

bool
errstart(int level, const char *domain)
{
	(void) domain;
	memset(&the_error, 0, sizeof(the_error));
	the_error.elevel = level;
	the_error.sqlerrcode = ERRCODE_INTERNAL_ERROR;
	return true;
}

bool
errstart_cold(int level, const char *domain)
{
	return errstart(level, domain);
}

void
errfinish(const char *file, int line, const char *function)
{
	(void) function;
	for (ErrorContextCallback *added = error_context_stack; added != NULL; added = added->previous)
		added->callback(added->arg);
	if (the_error.elevel < ERROR)
		return;
	if (the_error.sqlerrcode == ERRCODE_INTERNAL_ERROR || PG_exception_stack == NULL)
		fuzz_failed(the_error.message, file, line);
	pg_re_throw();
}

void
pg_re_throw(void)
{
	siglongjmp(*PG_exception_stack, 1);
}

int
errcode(int sqlstate)
{
	the_error.sqlerrcode = sqlstate;
	return 0;
}

static char *
format_text(const char *format, va_list arguments)
{
	va_list again;
	char *text;
	int length;

	va_copy(again, arguments);
	length = vsnprintf(NULL, 0, format, again);
	va_end(again);
	text = MemoryContextAlloc(ErrorContext, (Size) length + 1);
	vsnprintf(text, (size_t) length + 1, format, arguments);
	/* It goes to the client, and to the log. */
	fuzz_require(pg_encoding_verifymbstr(PG_UTF8, text, length) == length);
	return text;
}

/* What ereport() sets by a format: a function NAME for each part of an error. */
#define TEXT_FUNCTION(name, member)                        \
	int name(const char *format, ...)                      \
	{                                                      \
		va_list arguments;                                 \
                                                           \
		va_start(arguments, format);                       \
		the_error.member = format_text(format, arguments); \
		va_end(arguments);                                 \
		return 0;                                          \
	}                                                      \
	extern int name(const char *format, ...)

TEXT_FUNCTION(errmsg, message);
TEXT_FUNCTION(errmsg_internal, message);
TEXT_FUNCTION(errdetail, detail);
TEXT_FUNCTION(errdetail_internal, detail);
TEXT_FUNCTION(errdetail_log, detail_log);
TEXT_FUNCTION(errhint, hint);
TEXT_FUNCTION(errcontext_msg, context);

int
set_errcontext_domain(const char *domain)
{
	(void) domain;
	return 0;
}

ErrorData *
CopyErrorData(void)
{
	ErrorData *copy = palloc(sizeof(ErrorData));

	*copy = the_error; /* its texts are there until the input's end */
	return copy;
}

void
FlushErrorState(void)
{
}

void
ReThrowError(ErrorData *error)
{
	the_error = *error;
	pg_re_throw();
}

bool
fuzz_throws(void (*attempt)(void *argument), void *argument)
{
	MemoryContext before = CurrentMemoryContext;
	volatile bool thrown = false;

	PG_TRY();
	{
		attempt(argument);
	}
	PG_CATCH();
	{
		thrown = true;
	}
	PG_END_TRY();
	CurrentMemoryContext = before;
	return thrown;
}

/* Lists */

List *
lappend(List *list, void *datum)
{
	int length = list_length(list);
	List *longer =
		palloc0(offsetof(List, initial_elements) + sizeof(ListCell) * (Size) (length + 1));

	longer->type = T_List;
	longer->length = longer->max_length = length + 1;
	longer->elements = longer->initial_elements;
	if (length > 0)
		memcpy(longer->elements, list->elements, sizeof(ListCell) * (Size) length);
	longer->elements[length].ptr_value = datum;
	return longer;
}

/* Interrupts: there are none. */

volatile sig_atomic_t InterruptPending = false;

void
ProcessInterrupts(void)
{
}

/* Encodings: the database's is UTF8. */

int
GetDatabaseEncoding(void)
{
	return PG_UTF8;
}

const char *
GetDatabaseEncodingName(void)
{
	return "UTF8";
}

char *
pg_server_to_any(const char *text, int length, int encoding)
{
	(void) length;
	fuzz_require(encoding == PG_UTF8);
	return unconstify(char *, text);
}

/* What is called only where the encoding is another one. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
FUZZ_UNREACHABLE(bool, pg_verify_mbstr, int encoding, const char *text, int length, bool no_error);
FUZZ_UNREACHABLE(Oid, FindDefaultConversionProc, int32 from, int32 to);
FUZZ_UNREACHABLE(int, pg_encoding_mbcliplen, int encoding, const char *text, int length, int limit);
FUZZ_UNREACHABLE(int, pg_do_encoding_conversion_buf, Oid proc, int from, int to,
				 unsigned char *text, int length, unsigned char *out, int size, bool no_error);
#pragma GCC diagnostic pop

/* Files */

int
OpenTransientFile(const char *path, int flags)
{
	return open(path, flags);
}

int
CloseTransientFile(int file)
{
	return close(file);
}

const char *
fuzz_file(int number, FuzzInput bytes)
{
	static int files[2] = {-1, -1};
	static char paths[2][32];

	if (files[number] < 0)
	{
		files[number] = memfd_create("fuzz", 0);
		snprintf(paths[number], sizeof(paths[number]), "/proc/self/fd/%d", files[number]);
	}
	fuzz_require(ftruncate(files[number], 0) == 0 &&
				 pwrite(files[number], bytes.data, bytes.length, 0) == (ssize_t) bytes.length);
	return paths[number];
}

/* Inputs */

/* Whether the rest of the input begins with the line that divides it. */
static bool
is_divider(const char *rest, size_t length)
{
	return length >= 4 && memcmp(rest, "---\n", 4) == 0;
}

static FuzzInput
copy_part(const char *bytes, size_t length)
{
	FuzzInput part = {palloc(length), length};

	memcpy(unconstify(char *, part.data), bytes, length);
	return part;
}

bool
fuzz_next_part(FuzzInput *input, FuzzInput *part)
{
	size_t length = 0;

	if (input->length == 0)
	{
		*part = copy_part("", 0);
		return false;
	}
	while (length < input->length && !((length == 0 || input->data[length - 1] == '\n') &&
									   is_divider(input->data + length, input->length - length)))
		length++;
	*part = copy_part(input->data, length);
	if (length < input->length)
		length += 4;
	input->data += length;
	input->length -= length;
	return true;
}

unsigned
fuzz_next_number(FuzzInput *input)
{
	if (input->length == 0)
		return 0;
	input->length--;
	return (unsigned char) *input->data++;
}

char *
fuzz_string(FuzzInput part)
{
	return pnstrdup(part.data, part.length);
}

/* The entry */

static void
attempt(void *argument)
{
	fuzz(*(FuzzInput *) argument);
}

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	FuzzInput input = {(const char *) data, length};
	MemoryContext memory = AllocSetContextCreate(TopMemoryContext, "input", ALLOCSET_DEFAULT_SIZES);

	/* Of an input without bytes there is no block. */
	if (length == 0)
		input.data = "";
	CurrentMemoryContext = memory;
	fuzz_answers((FuzzInput){"", 0});
	fuzz_throws(attempt, &input);
	CurrentMemoryContext = TopMemoryContext;
	MemoryContextDelete(memory);
	MemoryContextReset(ErrorContext);
	return 0;
}
