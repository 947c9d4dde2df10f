/*
 * server.c
 *		Foreign servers and user mappings. See server.h.
 */
#include "aws/server.h"

#include "access/htup_details.h"
#include "access/reloptions.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/syscache.h"

#define WRAPPER "athena_calc"

static void
read_options(List *options, const char **values)
{
	ListCell *cell;

	foreach(cell, options)
	{
		DefElem *element = lfirst_node(DefElem, cell);
		AwsOption option = aws_option_find(element->defname);

		/* One of a newer version of the extension is none of ours. */
		if (option < AWS_OPTION_COUNT)
			values[option] = defGetString(element);
	}
}

/* Reads the mapping of a user, InvalidOid being PUBLIC. False where there is none. */
static bool
read_mapping(Oid user, AwsServer *server)
{
	HeapTuple tuple = SearchSysCache2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(user),
									  ObjectIdGetDatum(server->oid));
	Datum options;
	bool null;

	if (!HeapTupleIsValid(tuple))
		return false;
	options = SysCacheGetAttr(USERMAPPINGUSERSERVER, tuple, Anum_pg_user_mapping_umoptions, &null);
	if (!null)
		read_options(untransformRelOptions(options), server->mapping);
	ReleaseSysCache(tuple);
	return true;
}

void
aws_server_get(const char *name, AwsServer *server)
{
	ForeignServer *found = GetForeignServerByName(name, true);
	ForeignDataWrapper *wrapper = GetForeignDataWrapperByName(WRAPPER, true);

	memset(server, 0, sizeof(*server));
	if (found == NULL || wrapper == NULL || found->fdwid != wrapper->fdwid)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("server \"%s\" of athena_calc.server does not exist", name),
						errhint("CREATE SERVER ... FOREIGN DATA WRAPPER athena_calc, or RESET "
								"athena_calc.server.")));
	check_server_usage(found->serverid, GetUserId(), found->servername);
	server->oid = found->serverid;
	server->name = found->servername;
	server->of_superuser = superuser_arg(found->owner);
	read_options(found->options, server->options);
	server->has_mapping = read_mapping(GetUserId(), server) || read_mapping(InvalidOid, server);
}

bool
aws_server_has_keys(const AwsServer *server)
{
	return server->mapping[AWS_OPTION_ACCESS_KEY_ID] != NULL ||
		   server->mapping[AWS_OPTION_SECRET_ACCESS_KEY] != NULL;
}

/* The names of the options that may stand there, for a hint. */
static char *
names_of_options(int where)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < AWS_OPTION_COUNT; i++)
	{
		if (aws_options[i].flags & where)
			appendStringInfo(&names, "%s%s", names.len > 0 ? ", " : "", aws_options[i].name);
	}
	return names.data;
}

static const char *
name_of_catalog(int where)
{
	return where == AWS_OPTION_OF_SERVER    ? "a server"
		   : where == AWS_OPTION_OF_MAPPING ? "a user mapping"
											: "a foreign-data wrapper or a foreign table";
}

static void
refuse_unknown(const char *name, int where)
{
	const char *names = names_of_options(where);

	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME), errmsg("invalid option \"%s\"", name),
			 names[0] != '\0'
				 ? errhint("%s of athena_calc has the options %s.",
						   where == AWS_OPTION_OF_SERVER ? "A server" : "A user mapping", names)
				 : errhint("%s of athena_calc has no options.",
						   "A foreign-data wrapper or a foreign table")));
}

static void
refuse_value(const AwsOptionRule *rule, const char *problem)
{
	ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
					errmsg("invalid value for option \"%s\"", rule->name),
					errdetail("%s %s.", rule->subject, problem),
					rule->hint != NULL ? errhint("%s", rule->hint) : 0));
}

/*
 * What only a superuser may set: what chooses a host, and in a mapping the role that the server's own
 * credentials would assume. Who brings keys may use them for whatever role they like.
 */
static void
check_rights(AwsOption option, int where, bool has_keys)
{
	if (!(aws_options[option].flags & AWS_OPTION_FOR_SUPERUSERS) || superuser())
		return;
	if (where == AWS_OPTION_OF_MAPPING && has_keys)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to set option \"%s\" of %s", aws_options[option].name,
					name_of_catalog(where)),
			 errdetail("Only superusers may choose where the server's requests go and what its "
					   "credentials are used for."),
			 where == AWS_OPTION_OF_MAPPING
				 ? errhint("Give the mapping an access_key_id and a secret_access_key of its own.")
				 : 0));
}

static void
check_keys(const char *const *values)
{
	bool has_id = values[AWS_OPTION_ACCESS_KEY_ID] != NULL;
	bool has_secret = values[AWS_OPTION_SECRET_ACCESS_KEY] != NULL;

	if (has_id != has_secret)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
				 errmsg("option \"%s\" is missing", has_id ? "secret_access_key" : "access_key_id"),
				 errhint("access_key_id and secret_access_key go together.")));
	if (values[AWS_OPTION_SESSION_TOKEN] != NULL && !has_id)
		ereport(ERROR, (errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
						errmsg("option \"%s\" is missing", "access_key_id"),
						errhint("A session_token belongs to an access_key_id and a "
								"secret_access_key.")));
	if (values[AWS_OPTION_EXTERNAL_ID] != NULL && values[AWS_OPTION_ROLE_ARN] == NULL)
		ereport(ERROR, (errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
						errmsg("option \"%s\" is missing", "role_arn"),
						errhint("An external_id belongs to a role_arn.")));
}

/*
 * validator(options text[], catalog oid): what CREATE and ALTER SERVER and USER MAPPING call with all the options
 * that there would be.
 */
ATHENA_CALC_FUNCTION(athena_calc_validator);
Datum
athena_calc_validator(PG_FUNCTION_ARGS)
{
	List *options = untransformRelOptions(PG_GETARG_DATUM(0));
	Oid catalog = PG_GETARG_OID(1);
	int where = catalog == ForeignServerRelationId ? AWS_OPTION_OF_SERVER
				: catalog == UserMappingRelationId ? AWS_OPTION_OF_MAPPING
												   : 0;
	const char *values[AWS_OPTION_COUNT] = {NULL};
	bool has_keys;
	ListCell *cell;

	foreach(cell, options)
	{
		DefElem *element = lfirst_node(DefElem, cell);
		AwsOption option = aws_option_find(element->defname);
		const char *value;
		const char *problem;

		if (option == AWS_OPTION_COUNT || !(aws_options[option].flags & where))
			refuse_unknown(element->defname, where);
		value = defGetString(element);
		problem = value[0] != '\0' ? aws_options[option].problem(value) : "must not be empty";
		if (problem != NULL)
			refuse_value(&aws_options[option], problem);
		values[option] = value;
	}

	has_keys =
		values[AWS_OPTION_ACCESS_KEY_ID] != NULL && values[AWS_OPTION_SECRET_ACCESS_KEY] != NULL;
	for (int i = 0; i < AWS_OPTION_COUNT; i++)
	{
		if (values[i] != NULL)
			check_rights((AwsOption) i, where, has_keys);
	}
	if (where == AWS_OPTION_OF_MAPPING)
		check_keys(values);
	PG_RETURN_VOID();
}
