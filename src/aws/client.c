/*
 * client.c
 *		Calls to AWS as the current user's configuration says. See client.h.
 */
#include "aws/client.h"

#include "aws/credentials.h"

typedef struct ClientRun
{
	AwsAnswer answer;
	void *context;
	bool may_refresh;
	AwsCall **refused; /* whose credentials were refused, to be made once more */
	int refused_count;
} ClientRun;

static void
take_answer(AwsCall *call, const HttpResponse *response, void *context)
{
	ClientRun *run = context;

	if (run->may_refresh && call->error.sqlstate != 0 && aws_error_is_of_credentials(&call->error))
		run->refused[run->refused_count++] = call;
	else
		run->answer(call, response, run->context);
}

void
aws_call(const AwsConfig *config, void *calls, size_t stride, int count, AwsAnswer answer,
		 void *context)
{
	ClientRun run = {.answer = answer, .context = context};
	Credentials credentials;
	AwsCall **all;

	if (count == 0)
		return;
	credentials_get(config, &credentials);
	/* In a hurry a refusal is what came of it: should others not be had either, nobody would learn of what. */
	run.may_refresh = credentials.refreshable && !http_is_hurried();
	all = palloc(sizeof(AwsCall *) * count * (run.may_refresh ? 2 : 1));
	run.refused = all + count;
	for (int i = 0; i < count; i++)
	{
		all[i] = (AwsCall *) ((char *) calls + stride * i);
		all[i]->credentials = &credentials.keys;
		all[i]->ca_bundle = config->values[AWS_OPTION_CA_BUNDLE];
	}
	aws_call_send(all, count, take_answer, &run);

	if (run.refused_count > 0)
	{
		run.may_refresh = false;
		credentials_renew(config, &credentials);
		aws_call_send(run.refused, run.refused_count, take_answer, &run);
	}
	pfree(all);
}
