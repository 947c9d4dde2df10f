/*
 * origin.c
 *		Which servers offer HTTP/2. See origin.h.
 */
#include "http/origin.h"

#include "common/hashfn.h"
#include "port/atomics.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

/* A backend speaks to a few servers. Two that share a place push each other out. */
#define PLACES 64

/* A place holds a server's number, but for the lowest bits, which are its protocol. */
#define PROTOCOL_BITS 3

static pg_atomic_uint32 own_places[PLACES];
static pg_atomic_uint32 *places = NULL;

static void
clear_places(pg_atomic_uint32 *cleared)
{
	for (int i = 0; i < PLACES; i++)
		pg_atomic_init_u32(&cleared[i], ORIGIN_UNKNOWN);
}

static void
request_memory(void)
{
	RequestAddinShmemSpace(sizeof(own_places));
}

static void
attach_memory(void)
{
	bool found;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	places = ShmemInitStruct("athena_calc origins", sizeof(own_places), &found);
	if (!found)
		clear_places(places);
	LWLockRelease(AddinShmemInitLock);
}

void
origin_preload(void)
{
	preload_shared_memory(request_memory, attach_memory);
}

static pg_atomic_uint32 *
place_of(uint32 origin)
{
	if (places == NULL)
	{
		clear_places(own_places);
		places = own_places;
	}
	return &places[origin / (PROTOCOL_BITS + 1) % PLACES];
}

uint32
origin_of(const char *url)
{
	const char *authority = strstr(url, "://");
	size_t length = authority != NULL ? (size_t) (authority + 3 - url) : 0;

	length += strcspn(url + length, "/?#");
	return hash_bytes((const unsigned char *) url, (int) length) & ~PROTOCOL_BITS;
}

OriginProtocol
origin_protocol(uint32 origin)
{
	uint32 known = pg_atomic_read_u32(place_of(origin));

	return (known & ~PROTOCOL_BITS) == origin ? (OriginProtocol) (known & PROTOCOL_BITS)
											  : ORIGIN_UNKNOWN;
}

void
origin_remember(uint32 origin, OriginProtocol protocol)
{
	pg_atomic_uint32 *place = place_of(origin);
	uint32 known = origin | (uint32) protocol;

	/* Mostly it is known, and other backends need not look anew. */
	if (pg_atomic_read_u32(place) != known)
		pg_atomic_write_u32(place, known);
}
