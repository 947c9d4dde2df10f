/*
 * retry.h
 *		AWS's standard retry mode with the numbers of 2026, in plain C.
 *
 * Which failures deserve another attempt, how long to wait before it, and the token bucket that keeps
 * a backend from hammering a service that is down. Nothing here waits or throws; chance comes in as
 * an argument.
 *
 * https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
 */
#ifndef ATHENA_CALC_AWS_RETRY_H
#define ATHENA_CALC_AWS_RETRY_H

#include <stdbool.h>
#include <stdint.h>

typedef enum RetryReason
{
	RETRY_NEVER,
	RETRY_TRANSIENT,  /* trouble with the connection, or an error of the server's own */
	RETRY_THROTTLING, /* too many requests */
	RETRY_CLOCK_SKEW /* the signature's time is off; worth one more attempt with the offset mended */
} RetryReason;

/* A bucket of tokens: every retry takes some, every success gives some back. Zero before its first use. */
typedef struct RetryQuota
{
	int taken;
} RetryQuota;

/*
 * What an answer with this status (0 for none at all) and error code ("" for none) calls for. Clock skew is the
 * caller's to tell from a wrong key: it has the server's time.
 */
extern RetryReason retry_reason(int status, const char *code);

/* Whether a code is one that a wrong clock brings about. */
extern bool retry_code_may_be_clock_skew(const char *code);

/* Takes a retry's price; false, with nothing taken, when the bucket has not that much left. */
extern bool retry_quota_take(RetryQuota *quota, RetryReason reason);

/*
 * Gives back after a success: the price of the retry that led to it, or a token when there was none
 * (`last_retry` RETRY_NEVER).
 */
extern void retry_quota_give(RetryQuota *quota, RetryReason last_retry);

/*
 * The pause before retry `n` (1 for the first), in microseconds. `chance` is from [0, 1);
 * `retry_after_ms` is what the server asked for, negative for nothing.
 */
extern int64_t retry_delay(RetryReason reason, int n, double chance, int64_t retry_after_ms);

#endif
