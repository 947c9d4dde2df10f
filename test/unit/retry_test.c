/*
 * retry_test.c
 *		What is tried again, when, and how often: the numbers of AWS's standard mode.
 */
#include "aws/retry.h"

#include <limits.h>

#include "tap.h"

static void
test_reasons(void)
{
	static const char *const throttling[] = {
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
	};
	static const char *const transient[] = {
		"RequestTimeout",
		"RequestTimeoutException",
		"InternalError",
	};
	static const char *const final[] = {
		"",
		"InvalidRequestException",
		"ResourceNotFoundException",
		"SessionAlreadyExistsException",
		"AccessDeniedException",
		"ExpiredTokenException",
		"NoSuchBucket",
		/* A code is compared as a whole and to the letter. */
		"throttling",
		"ThrottlingExceptio",
		"ThrottlingExceptionX",
		"SlowDown ",
	};
	static const int final_statuses[] = {200, 206, 301, 304, 307, 400, 401, 403, 404, 405, 409,
										 410, 412, 413, 416, 418, 422, 428, 430, 431, 499, 501};
	static const int transient_statuses[] = {0, 500, 502, 503, 504, 599};

	for (size_t i = 0; i < sizeof(throttling) / sizeof(throttling[0]); i++)
	{
		/* The status does not matter: Athena sends them with 400, S3 with 503. */
		tap_ok(retry_reason(400, throttling[i]) == RETRY_THROTTLING &&
				   retry_reason(503, throttling[i]) == RETRY_THROTTLING &&
				   retry_reason(200, throttling[i]) == RETRY_THROTTLING,
			   "%s is throttling", throttling[i]);
	}
	for (size_t i = 0; i < sizeof(transient) / sizeof(transient[0]); i++)
		tap_is_int(retry_reason(400, transient[i]), RETRY_TRANSIENT, "%s is transient",
				   transient[i]);
	for (size_t i = 0; i < sizeof(final) / sizeof(final[0]); i++)
		tap_is_int(retry_reason(400, final[i]), RETRY_NEVER, "400 with \"%s\" is final", final[i]);

	tap_is_int(retry_reason(429, ""), RETRY_THROTTLING, "429 is throttling without a code");
	tap_is_int(retry_reason(429, "InvalidRequestException"), RETRY_THROTTLING,
			   "and with any other code");
	for (size_t i = 0; i < sizeof(transient_statuses) / sizeof(transient_statuses[0]); i++)
	{
		tap_is_int(retry_reason(transient_statuses[i], ""), RETRY_TRANSIENT,
				   "status %d is transient", transient_statuses[i]);
		tap_is_int(retry_reason(transient_statuses[i], "InternalServerException"), RETRY_TRANSIENT,
				   "status %d with Athena's own code too", transient_statuses[i]);
	}
	for (size_t i = 0; i < sizeof(final_statuses) / sizeof(final_statuses[0]); i++)
		tap_is_int(retry_reason(final_statuses[i], ""), RETRY_NEVER, "status %d is final",
				   final_statuses[i]);
}

static void
test_clock_skew(void)
{
	static const char *const codes[] = {
		"RequestTimeTooSkewed",  "RequestExpired", "InvalidSignatureException",
		"SignatureDoesNotMatch", "AuthFailure",    "RequestInTheFuture",
	};
	static const char *const others[] = {"", "AccessDenied", "ExpiredToken", "ThrottlingException",
										 "RequestTimeout"};

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
	{
		tap_ok(retry_code_may_be_clock_skew(codes[i]), "%s may be a wrong clock", codes[i]);
		tap_is_int(retry_reason(403, codes[i]), RETRY_NEVER,
				   "which alone is no reason to try again");
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		tap_ok(!retry_code_may_be_clock_skew(others[i]), "\"%s\" is no wrong clock", others[i]);
}

static int
takes(RetryQuota *quota, RetryReason reason)
{
	int count = 0;

	while (count < 1000 && retry_quota_take(quota, reason))
		count++;
	return count;
}

static void
test_quota(void)
{
	RetryQuota quota = {0};

	/* 500 tokens, 14 a retry: 35 of them and 10 left. */
	tap_is_int(takes(&quota, RETRY_TRANSIENT), 35, "a full bucket pays for 35 retries");
	tap_is_int(takes(&quota, RETRY_THROTTLING), 2, "its rest of 10 for two throttled ones");
	tap_is_int(takes(&quota, RETRY_THROTTLING), 0, "then for nothing");

	quota = (RetryQuota){0};
	tap_is_int(takes(&quota, RETRY_THROTTLING), 100,
			   "a full bucket pays for 100 throttled retries");
	tap_is_int(takes(&quota, RETRY_TRANSIENT), 0, "then for nothing");

	quota = (RetryQuota){0};
	tap_is_int(takes(&quota, RETRY_CLOCK_SKEW), 35, "a clock's correction costs like any retry");

	/* A success gives back what the retry that led to it took … */
	retry_quota_give(&quota, RETRY_CLOCK_SKEW);
	tap_is_int(takes(&quota, RETRY_TRANSIENT), 1, "a success gives a retry's price back");
	retry_quota_give(&quota, RETRY_TRANSIENT);
	tap_is_int(takes(&quota, RETRY_TRANSIENT), 1, "each time");
	retry_quota_give(&quota, RETRY_THROTTLING);
	tap_is_int(takes(&quota, RETRY_THROTTLING), 3, "and 5 for a throttled one, beside the 10 left");

	/* … and one token where there was none: 14 of them for a retry. */
	quota = (RetryQuota){0};
	takes(&quota, RETRY_THROTTLING);
	for (int i = 0; i < 13; i++)
		retry_quota_give(&quota, RETRY_NEVER);
	tap_ok(!retry_quota_take(&quota, RETRY_TRANSIENT),
		   "13 calls without a retry do not pay for one");
	retry_quota_give(&quota, RETRY_NEVER);
	tap_ok(retry_quota_take(&quota, RETRY_TRANSIENT), "the 14th does");
	tap_ok(!retry_quota_take(&quota, RETRY_THROTTLING), "and no more than that");

	/* Never above the start, whatever is given back. */
	quota = (RetryQuota){0};
	for (int i = 0; i < 1000; i++)
		retry_quota_give(&quota, RETRY_NEVER);
	tap_is_int(takes(&quota, RETRY_TRANSIENT), 35,
			   "a thousand successes do not overfill the bucket");
	quota = (RetryQuota){0};
	for (int i = 0; i < 1000; i++)
		retry_quota_give(&quota, RETRY_TRANSIENT);
	tap_is_int(takes(&quota, RETRY_THROTTLING), 100, "nor do a thousand refunds");
	quota = (RetryQuota){0};
	retry_quota_take(&quota, RETRY_THROTTLING);
	retry_quota_give(&quota, RETRY_TRANSIENT);
	tap_is_int(takes(&quota, RETRY_THROTTLING), 100, "nor a refund larger than what was taken");
}

static void
test_delays(void)
{
	/* The longest pause before each retry, in milliseconds. */
	static const int64_t transient[] = {50,   100,  200,   400,   800,  1600,
										3200, 6400, 12800, 20000, 20000};
	static const int64_t throttling[] = {1000, 2000, 4000, 8000, 16000, 20000, 20000};
	const double almost_one = 1.0 - 1.0 / (1LL << 53) * 2;
	bool in_bounds = true;
	bool grows = true;

	for (int n = 1; n <= (int) (sizeof(transient) / sizeof(transient[0])); n++)
	{
		for (int quarter = 0; quarter < 4; quarter++)
			tap_is_int(retry_delay(RETRY_TRANSIENT, n, quarter / 4.0, -1),
					   transient[n - 1] * 250 * quarter, "retry %d at a chance of %d/4", n,
					   quarter);
	}
	for (int n = 1; n <= (int) (sizeof(throttling) / sizeof(throttling[0])); n++)
	{
		for (int quarter = 0; quarter < 4; quarter++)
			tap_is_int(retry_delay(RETRY_THROTTLING, n, quarter / 4.0, -1),
					   throttling[n - 1] * 250 * quarter, "throttled retry %d at a chance of %d/4",
					   n, quarter);
	}
	tap_is_int(retry_delay(RETRY_CLOCK_SKEW, 1, 0.5, -1), 25000,
			   "a clock's correction waits little");

	for (int n = 1; n <= 200; n++)
	{
		int64_t before = n == 1 ? 0 : retry_delay(RETRY_TRANSIENT, n - 1, 0.5, -1);
		int64_t longest = retry_delay(RETRY_TRANSIENT, n, almost_one, -1);

		in_bounds = in_bounds && retry_delay(RETRY_TRANSIENT, n, 0.0, -1) == 0 && longest > 0 &&
					longest <= 20000000;
		grows = grows && retry_delay(RETRY_TRANSIENT, n, 0.5, -1) >= before;
	}
	tap_ok(in_bounds, "every pause is from 0 to 20 s");
	tap_ok(grows, "no pause's mean is shorter than the one before");
	tap_ok(retry_delay(RETRY_TRANSIENT, 1, almost_one, -1) < 50001,
		   "the largest chance stays below the first bound");
	tap_is_int(retry_delay(RETRY_THROTTLING, INT_MAX, 0.5, -1), 10000000,
			   "any number of retries ends at the cap");
}

static void
test_retry_after(void)
{
	static const struct
	{
		RetryReason reason;
		int n;
		double chance;
		int64_t retry_after_ms;
		int64_t delay; /* µs */
		const char *name;
	} cases[] = {
		{RETRY_TRANSIENT, 1, 0.5, -1, 25000, "no wish"},
		{RETRY_TRANSIENT, 1, 0.5, INT64_MIN, 25000, "the smallest number is no wish either"},
		{RETRY_TRANSIENT, 1, 0.5, 0, 25000, "a wish for at once does not shorten the pause"},
		{RETRY_TRANSIENT, 1, 0.5, 24, 25000, "nor does one a little shorter"},
		{RETRY_TRANSIENT, 1, 0.5, 25, 25000, "one that is the pause changes nothing"},
		{RETRY_TRANSIENT, 1, 0.5, 26, 26000, "a longer one is kept"},
		{RETRY_TRANSIENT, 1, 0.5, 5024, 5024000, "up to 5 s more"},
		{RETRY_TRANSIENT, 1, 0.5, 5025, 5025000, "the bound itself included"},
		{RETRY_TRANSIENT, 1, 0.5, 5026, 5025000, "beyond which it is cut"},
		{RETRY_TRANSIENT, 1, 0.5, INT64_MAX, 5025000, "however large it is"},
		{RETRY_TRANSIENT, 1, 0.0, 3000, 3000000, "a wish counts when chance says at once"},
		{RETRY_TRANSIENT, 1, 0.0, 60000, 5000000, "and has its bound there too"},
		{RETRY_THROTTLING, 1, 0.5, 400, 500000, "throttled: shorter than the pause"},
		{RETRY_THROTTLING, 1, 0.5, 501, 501000, "throttled: longer"},
		{RETRY_THROTTLING, 9, 0.5, 60000, 15000000, "throttled: cut at 5 s more than the pause"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		tap_is_int(
			retry_delay(cases[i].reason, cases[i].n, cases[i].chance, cases[i].retry_after_ms),
			cases[i].delay, "x-amz-retry-after: %s", cases[i].name);
}

int
main(void)
{
	test_reasons();
	test_clock_skew();
	test_quota();
	test_delays();
	test_retry_after();
	return tap_finish();
}
