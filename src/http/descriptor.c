/*
 * descriptor.c
 *		File descriptors for curl's sockets, counted with PostgreSQL's own. See descriptor.h.
 */
#include "http/descriptor.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/wait.h"
#include "storage/fd.h"

static int reserved_count = 0;
static int open_count = 0;

int
descriptor_open_count(void)
{
	return open_count;
}

bool
descriptor_all_open(void)
{
	return open_count >= reserved_count;
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
	while (reserved_count > open_count)
	{
		ReleaseExternalFD();
		reserved_count--;
	}
}

static curl_socket_t
open_socket(void *refused, curlsocktype purpose, struct curl_sockaddr *address)
{
	int fd = -1;

	(void) purpose;
	errno = EMFILE;
	if (open_count < reserved_count)
		fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
	if (fd >= 0)
	{
		open_count++;
		http_wait_adopt_socket(fd);
		return fd;
	}
	if (errno == EMFILE || errno == ENFILE)
		*(bool *) refused = true;
	return CURL_SOCKET_BAD;
}

static int
close_socket(void *unused, curl_socket_t fd)
{
	(void) unused;
	open_count--;
	http_wait_forget_socket(fd);
	return close(fd);
}

void
descriptor_attach(CURL *easy, bool *refused)
{
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, refused);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
}
