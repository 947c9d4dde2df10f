/*
 * code.h
 *		The code of a calculation, as it is sent.
 */
#ifndef ATHENA_CALC_ATHENA_CODE_H
#define ATHENA_CALC_ATHENA_CODE_H

#include "compat.h"

#include "aws/config.h"

/*
 * The code given, or read from S3, with the parameters in front of it, as text of the database. `code_block` and
 * `code_s3_uri` are text, `params` is jsonb. Throws 22004 where there is neither, 22023 where there are both, for what
 * is no S3 URI, and for params in front of a cell magic; 22021 for an object that is not UTF-8; and what
 * s3_get_object() throws, which gets `config`.
 */
extern Datum code_prepare(const AwsConfig *config, NullableDatum code_block, NullableDatum params,
						  NullableDatum code_s3_uri);

#endif
