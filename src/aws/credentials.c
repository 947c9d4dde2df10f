/*
 * credentials.c
 *		The credentials that requests are signed with. See credentials.h.
 */
#include "aws/credentials.h"

#include "settings.h"

static void
require(const char *name, const char *value)
{
	if (value[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("no AWS credentials: \"%s\" is not set", name),
				 errhint("A superuser sets athena_calc.access_key_id and "
						 "athena_calc.secret_access_key (with temporary credentials also "
						 "athena_calc.session_token): in postgresql.conf, with "
						 "shared_preload_libraries = 'athena_calc', or with SET in the session.")));
}

void
credentials_get(SigV4Credentials *credentials)
{
	require("athena_calc.access_key_id", setting_access_key_id);
	require("athena_calc.secret_access_key", setting_secret_access_key);
	settings_check_secrets();

	credentials->access_key_id = setting_access_key_id;
	credentials->secret_access_key = setting_secret_access_key;
	credentials->session_token = setting_session_token[0] != '\0' ? setting_session_token : NULL;
}
