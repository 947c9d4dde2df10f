/*
 * client.h
 *		Calls to AWS as the current user's configuration says: with its credentials, at its endpoints.
 *
 * config.h says what is configured, credentials.h finds the credentials, call.h signs and sends. A call whose
 * credentials are refused as expired is made once more with new ones.
 */
#ifndef ATHENA_CALC_AWS_CLIENT_H
#define ATHENA_CALC_AWS_CLIENT_H

#include "aws/call.h"
#include "aws/config.h"
#include "aws/resolve.h"

/*
 * Makes `count` calls with the configured credentials, as aws_call_send() does. `calls` are structures of
 * `stride` bytes that begin with an AwsCall. Throws what credentials_get() throws before anything is sent.
 */
extern void aws_call(const AwsConfig *config, void *calls, size_t stride, int count,
					 AwsAnswer answer, void *context);

#endif
