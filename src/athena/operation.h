/*
 * operation.h
 *		The table of operations: what each of Athena's operations takes and gives, as data.
 *
 * A new operation is a new row here and a declaration in the install script. The names of arguments and
 * columns are those of the SQL declaration, in its order.
 */
#ifndef ATHENA_CALC_ATHENA_OPERATION_H
#define ATHENA_CALC_ATHENA_OPERATION_H

#include "compat.h"

/* The longest name of an operation, in bytes. */
#define ATHENA_MAX_NAME 128

/* The most columns that a row has, and the most arguments that a function takes. */
#define ATHENA_MAX_COLUMNS 32
#define ATHENA_MAX_ARGUMENTS 16

typedef enum AthenaKind
{
	ATHENA_TEXT,
	ATHENA_INT,
	ATHENA_BIGINT,
	ATHENA_BOOLEAN,
	ATHENA_JSONB,     /* an object or an array, member names as AWS writes them */
	ATHENA_SECONDS,   /* timestamptz; epoch seconds with a fraction on the wire */
	ATHENA_MILLIS,    /* timestamptz; epoch milliseconds on the wire */
	ATHENA_INT_ARRAY, /* int[] */
	/* of arguments only */
	ATHENA_TOKEN,       /* text; a fresh UUID where none is given */
	ATHENA_WORK_GROUP,  /* text; athena_calc.work_group where none is given */
	ATHENA_TAGS,        /* jsonb {"key": "value"}; a list of {Key, Value} on the wire */
	ATHENA_MAX_RESULTS, /* int; bounds the rows of all pages, and is not a member */
	/* of columns only */
	ATHENA_FROM_REQUEST /* text; the request's first argument, where the answer does not repeat it */
} AthenaKind;

/* A hint for an argument that Athena refused; NULL where the value gives no reason for one. */
typedef const char *(*AthenaHint)(const char *value);

typedef struct AthenaArgument
{
	const char *name;
	const char *member; /* the path of its member in the request, parts divided by dots */
	AthenaKind kind;
	bool required;
	AthenaHint hint;
} AthenaArgument;

typedef struct AthenaColumn
{
	const char *member; /* the path of its member in the answer, or in each element of the list */
	AthenaKind kind;
	bool required; /* an answer without it is none */
} AthenaColumn;

typedef struct AthenaOperation
{
	const char *name;
	const AthenaArgument *arguments;
	int argument_count;
	const char *list; /* the member that holds a list of rows; NULL where the answer is the row */
	int page_size;    /* the largest MaxResults of a list */
	const AthenaColumn *columns;
	int column_count;
} AthenaOperation;

/* Those that other functions build upon. */
extern const AthenaOperation operation_get_calculation_execution;

#endif
