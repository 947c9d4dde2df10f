/*
 * server.h
 *		Foreign servers and user mappings: accounts by name, and credentials of one's own.
 *
 * CREATE SERVER prod FOREIGN DATA WRAPPER athena_calc OPTIONS (region …);
 * CREATE USER MAPPING FOR etl SERVER prod OPTIONS (access_key_id …, secret_access_key …);
 * SET athena_calc.server = 'prod';
 *
 * PostgreSQL does not record who set an option, so the validator decides: only a superuser may set what chooses
 * a host, or what the server's own credentials are used for.
 */
#ifndef ATHENA_CALC_AWS_SERVER_H
#define ATHENA_CALC_AWS_SERVER_H

#include "compat.h"

#include "aws/option.h"

typedef struct AwsServer
{
	Oid oid; /* InvalidOid where none is chosen; then the rest is nothing */
	const char *name;
	bool
		of_superuser; /* whether a superuser owns it: then the server's own credentials may be used */
	bool has_mapping;
	const char *options[AWS_OPTION_COUNT]; /* NULL where it has none */
	const char *mapping[AWS_OPTION_COUNT];
} AwsServer;

/*
 * The server of that name with the mapping of the current user, or else PUBLIC's; strings are made in the
 * current memory context. Throws 42704 where there is no such server of this extension, 42501 without USAGE on it.
 */
extern void aws_server_get(const char *name, AwsServer *server);

/* Whether the mapping has keys of its own. */
extern bool aws_server_has_keys(const AwsServer *server);

#endif
