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
	ATHENA_WORDS,       /* text for people: what the database's encoding lacks is replaced */
	ATHENA_FITTING,     /* text; NULL where the database's encoding lacks a character of it */
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
extern const AthenaOperation operation_start_calculation_execution;
extern const AthenaOperation operation_get_calculation_execution;
extern const AthenaOperation operation_stop_calculation_execution;
extern const AthenaOperation operation_start_session;
extern const AthenaOperation operation_get_session_status;
extern const AthenaOperation operation_terminate_session;
extern const AthenaOperation operation_find_session;

/* Where the arguments and columns that they name stand. */
enum
{
	START_CALCULATION_SESSION_ID,
	START_CALCULATION_CODE_BLOCK,
	START_CALCULATION_DESCRIPTION,
	START_CALCULATION_TOKEN,
	START_CALCULATION_ARGUMENTS
};
enum
{
	CALCULATION_COMPLETION = 5,
	CALCULATION_STATE,
	CALCULATION_REASON,
	CALCULATION_STD_ERROR = 11,
	CALCULATION_COLUMNS = 14
};
enum
{
	SESSION_STATUS_STATE = 5,
	SESSION_STATUS_REASON,
	SESSION_STATUS_COLUMNS
};
enum
{
	FIND_SESSION_ID,
	FIND_SESSION_DESCRIPTION,
	FIND_SESSION_STATE
};
enum
{
	START_SESSION_WORK_GROUP,
	START_SESSION_DESCRIPTION,
	START_SESSION_MAX_CONCURRENT_DPUS,
	START_SESSION_TOKEN = 14,
	START_SESSION_ARGUMENTS
};

#endif
