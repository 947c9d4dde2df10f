/*
 * authorities.c
 *		The certificate authorities that servers are verified against. See authorities.h.
 */
#include "http/authorities.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/crypto.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "http/http.h"

/* How long what was read of a directory is trusted: as long as curl trusts what it read of a file (CURLOPT_CA_CACHE_TIMEOUT). */
#define KEPT_US (INT64CONST(24) * 60 * 60 * 1000000)

/* What a connection's certificate was verified with, for those after it. */
typedef struct KeptStore
{
	X509_STORE *store; /* NULL where there is none */
	char *directory;   /* from malloc */
	int64 since;
} KeptStore;

static KeptStore kept;

/* Whether a directory has certificates under the names by which OpenSSL looks them up. */
static bool
is_hashed_directory(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	bool found = false;

	if (directory == NULL)
		return false;
	while (!found && (entry = readdir(directory)) != NULL)
		found = strspn(entry->d_name, "0123456789abcdef") == 8 && entry->d_name[8] == '.';
	closedir(directory);
	return found;
}

/* The certificates that curl was built to trust: a file, a directory, or both. */
static void
system_certificate_authorities(const char **file, const char **directory)
{
#if CURL_AT_LEAST_VERSION(7, 70, 0)
	const curl_version_info_data *curl = curl_version_info(CURLVERSION_NOW);

	*file = curl->cainfo;
	*directory = curl->capath;
#else
	/* It does not say, but where OpenSSL looks is where distributions keep them. */
	*file = X509_get_default_cert_file();
	*directory = X509_get_default_cert_dir();
#endif
}

static void
keep_store(X509_STORE *store, const char *directory)
{
	X509_STORE_free(kept.store);
	free(kept.directory);
	kept.store = NULL;
	kept.directory = strdup(directory);
	kept.since = http_now();
	if (kept.directory != NULL && X509_STORE_up_ref(store))
		kept.store = store;
}

/*
 * curl makes a store of certificates for each connection to verify, and OpenSSL reads those that it needs of the directory into it,
 * half as long as all the rest of a handshake takes. The first connection's serves those after it.
 * https://curl.se/libcurl/c/CURLOPT_SSL_CTX_FUNCTION.html
 */
static CURLcode
ssl_context_callback(CURL *easy, void *ssl_context, void *directory)
{
	(void) easy;
	if (kept.store == NULL || strcmp(kept.directory, directory) != 0 ||
		http_now() - kept.since > KEPT_US)
		keep_store(SSL_CTX_get_cert_store(ssl_context), directory);
	else if (X509_STORE_up_ref(kept.store))
		SSL_CTX_set_cert_store(ssl_context, kept.store);
	return CURLE_OK;
}

/*
 * Whether curl's OpenSSL is the one that is called here, by its version: "OpenSSL/3.0.17" there, "OpenSSL 3.0.17 1 Jul 2025" here. What
 * curl passes to the callback is another library's otherwise.
 */
static bool
shares_openssl(void)
{
	const char *curls = curl_version_info(CURLVERSION_NOW)->ssl_version;
	const char *ours = OpenSSL_version(OPENSSL_VERSION);

	if (curls == NULL)
		return false;
	while (*curls != '\0' && *curls == (*ours == ' ' ? '/' : *ours))
	{
		curls++;
		ours++;
	}
	return *curls == '\0' && *ours == ' ';
}

/*
 * Either a file or a directory, never both: with both (which is how libcurl comes on Debian) it reads the file anew for each
 * connection. A hashed directory is best: only the one certificate that is needed is read.
 * https://curl.se/libcurl/c/CURLOPT_CA_CACHE_TIMEOUT.html
 */
bool
authorities_attach(CURL *easy, const char *ca_bundle)
{
	static bool system_known = false;
	static bool system_hashed = false;
	const char *file = ca_bundle;
	const char *directory = NULL;
	struct stat status;

	if (ca_bundle[0] == '\0')
	{
		system_certificate_authorities(&file, &directory);
		if (!system_known)
		{
			system_hashed = directory != NULL && is_hashed_directory(directory);
			system_known = true;
		}
		if (system_hashed)
			file = NULL;
		else
			directory = NULL;
	}
	else if (stat(ca_bundle, &status) == 0 && S_ISDIR(status.st_mode))
	{
		file = NULL;
		directory = ca_bundle;
	}
	if (curl_easy_setopt(easy, CURLOPT_CAINFO, file) != CURLE_OK ||
		curl_easy_setopt(easy, CURLOPT_CAPATH, directory) != CURLE_OK)
		return false;
	if (shares_openssl())
	{
		curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION,
						 directory != NULL ? ssl_context_callback : NULL);
		curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, directory);
	}
	return true;
}
