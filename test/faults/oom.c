/*
 * oom.c
 *		Memory that runs out when a test says so: a library for LD_PRELOAD.
 *
 * One allocation of one backend fails, the n-th of a kind, counted from when the test asks for it: of malloc(), calloc() and
 * realloc() where athena_calc.so or libcurl is on the stack, whoever it is that asks (libcrypto, expat, zlib, the C library,
 * PostgreSQL's memory contexts); or of what athena_calc.so asks PostgreSQL for (palloc() and the like), which mostly does not come
 * as far as malloc(). So the test need not exhaust anything, and each path is taken.
 *
 * The test and the backends share a file, mapped: its name is ATHENA_CALC_OOM_CONTROL. 002_out_of_memory.pl builds this.
 * Linux with glibc, and gcc's or clang's unwinder.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "postgres.h"

#include <dlfcn.h>
#include <elf.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>
#include <unwind.h>

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/* So many callers of what fails are told of. */
#define MAX_FRAMES 14

/* What to make fail. */
enum
{
	OOM_MALLOC = 1,
	OOM_PALLOC = 2
};

/* The file, in the test's words: pack 'l l q q q'. */
typedef struct OomControl
{
	int32 pid;              /* the backend; 0 for none */
	int32 kind;             /* of what is counted */
	int64 fail_at;          /* the first is 1; 0: count only */
	volatile int64 count;   /* so many there have been */
	volatile int64 refused; /* so many have failed: 0 or 1 */
} OomControl;

typedef struct OomRange
{
	uintptr_t begin;
	uintptr_t end;
} OomRange;

static OomControl *control;
static OomRange ours[2]; /* athena_calc.so and libcurl, once they are there */
static int our_count;
static __thread bool looking; /* the unwinder may allocate */

__attribute__((constructor)) static void
oom_init(void)
{
	const char *path = getenv("ATHENA_CALC_OOM_CONTROL");
	int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
	void *mapped;

	if (fd < 0)
		return;
	mapped = mmap(NULL, sizeof(OomControl), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (mapped != MAP_FAILED)
		control = mapped;
}

/* Whether this allocation is the one that fails; then the server's log has where it was. */
static bool
strikes(void)
{
	void *frames[MAX_FRAMES];
	bool looked = looking;

	if (++control->count != control->fail_at)
		return false;
	control->refused++;
	looking = true;
	dprintf(STDERR_FILENO, "allocation " INT64_FORMAT " of process %d fails:\n", control->count,
			control->pid);
	backtrace_symbols_fd(frames, backtrace(frames, MAX_FRAMES), STDERR_FILENO);
	looking = looked;
	return true;
}

static bool
counts(int kind)
{
	return control != NULL && control->kind == kind && control->pid == getpid();
}

/*
 * malloc()
 */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);

static _Unwind_Reason_Code
look_at_frame(struct _Unwind_Context *frame, void *found)
{
	uintptr_t address = _Unwind_GetIP(frame);

	for (int i = 0; i < our_count; i++)
	{
		if (address >= ours[i].begin && address < ours[i].end)
		{
			*(bool *) found = true;
			return _URC_END_OF_STACK;
		}
	}
	return _URC_NO_REASON;
}

static bool
refuse_malloc(void)
{
	bool found = false;

	if (!counts(OOM_MALLOC) || looking)
		return false;
	looking = true;
	_Unwind_Backtrace(look_at_frame, &found);
	looking = false;
	if (!found || !strikes())
		return false;
	errno = ENOMEM;
	return true;
}

void *
malloc(size_t size)
{
	return refuse_malloc() ? NULL : __libc_malloc(size);
}

void *
calloc(size_t count, size_t size)
{
	return refuse_malloc() ? NULL : __libc_calloc(count, size);
}

void *
realloc(void *old, size_t size)
{
	return size > 0 && refuse_malloc() ? NULL : __libc_realloc(old, size);
}

/*
 * palloc(). The server's own functions come first for whoever looks a symbol up, so athena_calc.so is told of others in the
 * table of addresses that it calls by.
 */

static void
refuse_palloc(void)
{
	if (counts(OOM_PALLOC) && strikes())
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
						errdetail("Failed because the test wants it.")));
}

#define WRAPPED(type, name, parameters, arguments) \
	static type(*server_##name) parameters;        \
	static type test_##name parameters             \
	{                                              \
		refuse_palloc();                           \
		return server_##name arguments;            \
	}

#define WRAPPED_VOID(name, parameters, arguments) \
	static void(*server_##name) parameters;       \
	static void test_##name parameters            \
	{                                             \
		refuse_palloc();                          \
		server_##name arguments;                  \
	}

/* Those that may say so. */
#define WRAPPED_NO_OOM(name, parameters, arguments) \
	static void *(*server_##name) parameters;       \
	static void *test_##name parameters             \
	{                                               \
		if ((flags & MCXT_ALLOC_NO_OOM) == 0)       \
			refuse_palloc();                        \
		else if (counts(OOM_PALLOC) && strikes())   \
			return NULL;                            \
		return server_##name arguments;             \
	}

WRAPPED(void *, palloc, (Size size), (size))
WRAPPED(void *, palloc0, (Size size), (size))
WRAPPED(void *, repalloc, (void *old, Size size), (old, size))
WRAPPED(void *, repalloc_huge, (void *old, Size size), (old, size))
WRAPPED(void *, MemoryContextAlloc, (MemoryContext context, Size size), (context, size))
WRAPPED(void *, MemoryContextAllocZero, (MemoryContext context, Size size), (context, size))
WRAPPED(void *, MemoryContextAllocHuge, (MemoryContext context, Size size), (context, size))
WRAPPED(char *, MemoryContextStrdup, (MemoryContext context, const char *text), (context, text))
WRAPPED(char *, pstrdup, (const char *text), (text))
WRAPPED(char *, pnstrdup, (const char *text, Size length), (text, length))
WRAPPED(text *, cstring_to_text_with_len, (const char *value, int length), (value, length))
WRAPPED(MemoryContext, AllocSetContextCreateInternal,
		(MemoryContext parent, const char *name, Size minimum, Size initial, Size maximum),
		(parent, name, minimum, initial, maximum))
WRAPPED_VOID(initStringInfo, (StringInfo buffer), (buffer))
WRAPPED_VOID(enlargeStringInfo, (StringInfo buffer, int needed), (buffer, needed))
WRAPPED_VOID(appendStringInfoString, (StringInfo buffer, const char *text), (buffer, text))
WRAPPED_VOID(appendStringInfoChar, (StringInfo buffer, char character), (buffer, character))
WRAPPED_NO_OOM(palloc_extended, (Size size, int flags), (size, flags))
WRAPPED_NO_OOM(MemoryContextAllocExtended, (MemoryContext context, Size size, int flags),
			   (context, size, flags))

static const struct
{
	const char *name;
	void *test;
	void *server; /* a pointer to the pointer */
} wrapped[] = {
#define ENTRY(name)                                          \
	{                                                        \
#name, (void *) test_##name, (void *) &server_##name \
	}
	ENTRY(palloc),
	ENTRY(palloc0),
	ENTRY(repalloc),
	ENTRY(repalloc_huge),
	ENTRY(MemoryContextAlloc),
	ENTRY(MemoryContextAllocZero),
	ENTRY(MemoryContextAllocHuge),
	ENTRY(MemoryContextStrdup),
	ENTRY(pstrdup),
	ENTRY(pnstrdup),
	ENTRY(cstring_to_text_with_len),
	ENTRY(AllocSetContextCreateInternal),
	ENTRY(initStringInfo),
	ENTRY(enlargeStringInfo),
	ENTRY(appendStringInfoString),
	ENTRY(appendStringInfoChar),
	ENTRY(palloc_extended),
	ENTRY(MemoryContextAllocExtended),
};

/* Puts ours in the place of a function's address, if it is one of those. */
static void
redirect(const char *name, void **address)
{
	uintptr_t page = (uintptr_t) address & ~((uintptr_t) sysconf(_SC_PAGESIZE) - 1);

	for (size_t i = 0; i < lengthof(wrapped); i++)
	{
		if (strcmp(name, wrapped[i].name) != 0)
			continue;
		memcpy(wrapped[i].server, address, sizeof(void *));
		/* The table is read-only once the library is loaded. */
		if (mprotect((void *) page, (size_t) sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE) == 0)
			*address = wrapped[i].test;
	}
}

static void
redirect_library(const struct link_map *map)
{
	const ElfW(Sym) *symbols = NULL;
	const char *names = NULL;
	const ElfW(Rela) * tables[2] = {NULL, NULL};
	size_t sizes[2] = {0, 0};

	for (const ElfW(Dyn) *entry = map->l_ld; entry->d_tag != DT_NULL; entry++)
	{
		switch (entry->d_tag)
		{
			case DT_SYMTAB:
				symbols = (const void *) entry->d_un.d_ptr;
				break;
			case DT_STRTAB:
				names = (const void *) entry->d_un.d_ptr;
				break;
			case DT_JMPREL:
				tables[0] = (const void *) entry->d_un.d_ptr;
				break;
			case DT_PLTRELSZ:
				sizes[0] = entry->d_un.d_val;
				break;
			case DT_RELA:
				tables[1] = (const void *) entry->d_un.d_ptr;
				break;
			case DT_RELASZ:
				sizes[1] = entry->d_un.d_val;
				break;
		}
	}
	for (int table = 0; table < 2; table++)
	{
		for (size_t i = 0; i < sizes[table] / sizeof(ElfW(Rela)); i++)
		{
			const ElfW(Rela) *entry = &tables[table][i];
			size_t symbol = ELF64_R_SYM(entry->r_info);

			if (symbol != 0)
				redirect(names + symbols[symbol].st_name,
						 (void **) (map->l_addr + entry->r_offset));
		}
	}
}

static int
look_at_library(struct dl_phdr_info *library, size_t size pg_attribute_unused(),
				void *data pg_attribute_unused())
{
	if (strstr(library->dlpi_name, "/athena_calc.so") == NULL &&
		strstr(library->dlpi_name, "/libcurl") == NULL)
		return 0;
	for (int i = 0; i < library->dlpi_phnum; i++)
	{
		const ElfW(Phdr) *part = &library->dlpi_phdr[i];

		if (part->p_type == PT_LOAD && (part->p_flags & PF_X) != 0 &&
			our_count < (int) lengthof(ours))
		{
			ours[our_count].begin = library->dlpi_addr + part->p_vaddr;
			ours[our_count].end = ours[our_count].begin + part->p_memsz;
			our_count++;
		}
	}
	return 0;
}

/* The server loads the extension by this. */
void *
dlopen(const char *path, int flags)
{
	void *(*next)(const char *, int) = (void *(*) (const char *, int) ) dlsym(RTLD_NEXT, "dlopen");
	void *library = next(path, flags);
	struct link_map *map;

	if (library != NULL && path != NULL && our_count == 0 &&
		strstr(path, "/athena_calc.so") != NULL && dlinfo(library, RTLD_DI_LINKMAP, &map) == 0)
	{
		dl_iterate_phdr(look_at_library, NULL);
		redirect_library(map);
	}
	return library;
}
