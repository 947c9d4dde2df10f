/*
 * descriptor.c
 *		File descriptors for curl's sockets, counted with PostgreSQL's own. See descriptor.h.
 */
#include "http/descriptor.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/fd.h"

static int reserved_count = 0;
static int open_count = 0;
/* Those that curl was given, by descriptor, from malloc: it grows below a callback. Their numbers may be others' by now. */
static SocketIdentity *open_sockets = NULL;
static int open_sockets_size = 0;
static bool was_refused = false;
static bool recount_due = false; /* whether one was opened since they were counted */

bool
descriptor_identify(int fd, SocketIdentity *identity)
{
	struct stat status;

	if (fstat(fd, &status) != 0 || !S_ISSOCK(status.st_mode))
		return false;
	identity->device = status.st_dev;
	identity->inode = status.st_ino;
	return true;
}

bool
descriptor_is(int fd, SocketIdentity identity)
{
	SocketIdentity now;

	return descriptor_identify(fd, &now) && now.device == identity.device &&
		   now.inode == identity.inode;
}

static void
forget(int fd)
{
	if (fd < open_sockets_size && open_sockets[fd].inode != 0)
	{
		open_sockets[fd].inode = 0;
		open_count--;
	}
}

static bool
remember(int fd)
{
	forget(fd);
	if (fd >= open_sockets_size)
	{
		int size = Max(fd + 1, 2 * open_sockets_size);
		SocketIdentity *larger = realloc(open_sockets, sizeof(SocketIdentity) * size);

		if (larger == NULL)
			return false;
		memset(larger + open_sockets_size, 0, sizeof(SocketIdentity) * (size - open_sockets_size));
		open_sockets = larger;
		open_sockets_size = size;
	}
	if (!descriptor_identify(fd, &open_sockets[fd]))
		return false;
	open_count++;
	recount_due = true;
	return true;
}

int
descriptor_open_count(void)
{
	if (recount_due)
	{
		for (int fd = 0; fd < open_sockets_size; fd++)
		{
			if (open_sockets[fd].inode != 0 && !descriptor_is(fd, open_sockets[fd]))
				forget(fd);
		}
		recount_due = false;
	}
	return open_count;
}

bool
descriptor_was_refused(void)
{
	bool refused = was_refused;

	was_refused = false;
	return refused;
}

bool
descriptor_reserve(int sockets)
{
	while (reserved_count < sockets)
	{
		if (!AcquireExternalFD())
			return false;
		reserved_count++;
	}
	return true;
}

void
descriptor_release_unused(void)
{
	while (reserved_count > descriptor_open_count())
	{
		ReleaseExternalFD();
		reserved_count--;
	}
}

static curl_socket_t
open_socket(void *refusal, curlsocktype purpose, struct curl_sockaddr *address)
{
	int fd;

	(void) purpose;
	if (descriptor_open_count() >= reserved_count)
	{
		*(SocketRefusal *) refusal = SOCKET_UNRESERVED;
		was_refused = true;
		return CURL_SOCKET_BAD;
	}
	fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
	if (fd < 0)
	{
		if (errno == EMFILE || errno == ENFILE)
		{
			*(SocketRefusal *) refusal = SOCKET_REFUSED;
			was_refused = true;
		}
		return CURL_SOCKET_BAD;
	}
	if (!remember(fd))
	{
		close(fd);
		return CURL_SOCKET_BAD;
	}
	return fd;
}

static int
close_socket(void *unused, curl_socket_t fd)
{
	(void) unused;
	forget(fd);
	return close(fd);
}

void
descriptor_attach(CURL *easy, SocketRefusal *refusal)
{
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, refusal);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
}
