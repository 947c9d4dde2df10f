/*
 * retry.c
 *		AWS's standard retry mode with the numbers of 2026. See retry.h for the contract.
 */
#include "aws/retry.h"

#include <stddef.h>
#include <string.h>

/* What is not implemented is not the next time either. */
#define HTTP_STATUS_NOT_IMPLEMENTED 501

#define QUOTA_TOKENS 500
#define QUOTA_PRICE 14
#define QUOTA_THROTTLING_PRICE 5
#define QUOTA_REWARD 1

#define DELAY_BASE_MS 50
#define DELAY_THROTTLING_BASE_MS 1000
#define DELAY_MAX_MS 20000
#define RETRY_AFTER_EXTRA_MS 5000

/* The codes that all SDKs take for throttling, under whatever status they come. */
static const char *const throttling_codes[] = {
	"Throttling",
	"ThrottlingException",
	"ThrottledException",
	"RequestThrottledException",
	"TooManyRequestsException",
	"ProvisionedThroughputExceededException",
	"TransactionInProgressException",
	"RequestLimitExceeded",
	"BandwidthLimitExceeded",
	"LimitExceededException",
	"RequestThrottled",
	"SlowDown",
	"PriorRequestNotComplete",
	"EC2ThrottledException",
	NULL,
};

static const char *const transient_codes[] = {
	"RequestTimeout",
	"RequestTimeoutException",
	"InternalError",
	"IDPCommunicationError", /* STS could not ask the identity provider */
	NULL,
};

static const char *const clock_skew_codes[] = {
	"RequestTimeTooSkewed",
	"RequestExpired",
	"InvalidSignatureException",
	"SignatureDoesNotMatch",
	"AuthFailure",
	"RequestInTheFuture",
	NULL,
};

static bool
is_one_of(const char *code, const char *const *codes)
{
	for (; *codes != NULL; codes++)
	{
		if (strcmp(code, *codes) == 0)
			return true;
	}
	return false;
}

RetryReason
retry_reason(int status, const char *code)
{
	if (status == 429 || is_one_of(code, throttling_codes))
		return RETRY_THROTTLING;
	if (status == 0 || (status >= 500 && status != HTTP_STATUS_NOT_IMPLEMENTED) ||
		is_one_of(code, transient_codes))
		return RETRY_TRANSIENT;
	return RETRY_NEVER;
}

bool
retry_code_may_be_clock_skew(const char *code)
{
	return is_one_of(code, clock_skew_codes);
}

static int
price(RetryReason reason)
{
	return reason == RETRY_THROTTLING ? QUOTA_THROTTLING_PRICE : QUOTA_PRICE;
}

bool
retry_quota_take(RetryQuota *quota, RetryReason reason)
{
	if (quota->taken + price(reason) > QUOTA_TOKENS)
		return false;
	quota->taken += price(reason);
	return true;
}

void
retry_quota_give(RetryQuota *quota, RetryReason last_retry)
{
	quota->taken -= last_retry == RETRY_NEVER ? QUOTA_REWARD : price(last_retry);
	if (quota->taken < 0)
		quota->taken = 0;
}

int64_t
retry_delay(RetryReason reason, int n, double chance, int64_t retry_after_ms)
{
	int64_t longest = reason == RETRY_THROTTLING ? DELAY_THROTTLING_BASE_MS : DELAY_BASE_MS;
	int64_t delay;

	for (int i = 1; i < n && longest < DELAY_MAX_MS; i++)
		longest *= 2;
	if (longest > DELAY_MAX_MS)
		longest = DELAY_MAX_MS;
	delay = (int64_t) (chance * (double) longest * 1000);

	/* The server's wish counts within bounds: never sooner than ours, at most a little later. */
	if (retry_after_ms >= 0)
	{
		int64_t latest = delay + RETRY_AFTER_EXTRA_MS * 1000;
		int64_t wish = retry_after_ms > latest / 1000 ? latest : retry_after_ms * 1000;

		if (wish > delay)
			delay = wish;
	}
	return delay;
}
