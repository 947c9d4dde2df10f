/*
 * compat.h
 *		What stands in for src/compat.h in the unit tests: of the server as much as the tested code uses.
 *
 * Memory contexts, errors and interrupts, from malloc and longjmp; server.c has them. What a test asks of them begins
 * with server_.
 */
#ifndef ATHENA_CALC_TEST_SERVER_COMPAT_H
#define ATHENA_CALC_TEST_SERVER_COMPAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define pg_noreturn __attribute__((noreturn))
#define Min(a, b) ((a) < (b) ? (a) : (b))
#define lengthof(array) (sizeof(array) / sizeof((array)[0]))

typedef size_t Size;

/* Memory */

typedef struct MemoryContextData *MemoryContext;

typedef struct MemoryContextCallback
{
	void (*func)(void *argument);
	void *arg;
	struct MemoryContextCallback *next;
} MemoryContextCallback;

#define MCXT_ALLOC_NO_OOM 0x02

extern MemoryContext CurrentMemoryContext;

extern void *MemoryContextAlloc(MemoryContext context, Size size);
extern void *MemoryContextAllocExtended(MemoryContext context, Size size, int flags);
extern void MemoryContextRegisterResetCallback(MemoryContext context,
											   MemoryContextCallback *callback);
extern void *palloc(Size size);
extern void *palloc0(Size size);
extern char *pstrdup(const char *string);
extern void pfree(void *block);

/* A new context, which becomes the current one. */
extern MemoryContext server_begin_context(void);

/* Ends it, and all that was allocated in it; no context is current any more. */
extern void server_end_context(void);

/* Bytes of all contexts, now and at most since the last begin; of all that malloc has given, or 0 where it does not tell. */
extern size_t server_memory(void);
extern size_t server_memory_peak(void);
extern size_t server_malloc(void);

/* The allocation, counted from 0 on since the last begin, that there is no memory for; -1 for none. And their count. */
extern int server_refused_allocation;
extern int server_allocations;

/* Errors */

#define ERROR 21
#define ERRCODE_BAD_COPY_FILE_FORMAT "22P04"
#define ERRCODE_FEATURE_NOT_SUPPORTED "0A000"
#define ERRCODE_OUT_OF_MEMORY "53200"
#define ERRCODE_INTERNAL_ERROR "XX000"

#define ereport(level, rest) \
	do                       \
	{                        \
		(void) (rest);       \
		server_throw();      \
	} while (0)
#define elog(level, ...) ereport(level, (errcode(ERRCODE_INTERNAL_ERROR), errmsg(__VA_ARGS__)))

extern int errcode(const char *sqlstate);
extern int errmsg(const char *format, ...) __attribute__((format(printf, 1, 2)));
extern int errhint(const char *format, ...) __attribute__((format(printf, 1, 2)));
pg_noreturn extern void server_throw(void);

/* The last error. */
typedef struct ServerError
{
	const char *sqlstate;
	char message[256];
	char hint[256];
} ServerError;

extern ServerError server_error;

/* Whether this throws. */
extern bool server_throws(void (*attempt)(void *argument), void *argument);

/* Interrupts */

#define CHECK_FOR_INTERRUPTS() (server_interrupt_checks++)

extern int server_interrupt_checks;

#endif
