/*
 * source_environment.c
 *		Keys of the server's environment. See source.h.
 *
 * https://docs.aws.amazon.com/sdkref/latest/guide/feature-static-credentials.html
 */
#include "aws/source.h"

#include <stdlib.h>

/* To AWS's SDKs an empty variable is none. */
static const char *
variable(const char *name)
{
	const char *value = getenv(name);

	return value != NULL ? value : "";
}

bool
source_environment_is_configured(void)
{
	return variable("AWS_ACCESS_KEY_ID")[0] != '\0' || variable("AWS_SECRET_ACCESS_KEY")[0] != '\0';
}

void
source_environment_fetch(FoundCredentials *found)
{
	static const char *const names[] = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"};
	const char *token = variable("AWS_SESSION_TOKEN");
	const char *problem;

	if (token[0] == '\0')
		token = variable("AWS_SECURITY_TOKEN"); /* its older name, which boto3 takes, too */
	for (int i = 0; i < (int) lengthof(names); i++)
	{
		if (variable(names[i])[0] == '\0')
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
					 errmsg("no AWS credentials: the server's environment has no %s", names[i]),
					 errhint("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY go together, where the "
							 "server is started.")));
	}
	if (!source_take(found, variable(names[0]), variable(names[1]), token, &problem))
		ereport(ERROR, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
						errmsg("the server's environment %s", problem)));
}
