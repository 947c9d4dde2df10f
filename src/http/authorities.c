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

#include "http/bundle.h"
#include "http/http.h"

/* How long what was read is trusted: as long as curl trusts what it reads itself (CURLOPT_CA_CACHE_TIMEOUT). */
#define KEPT_US (INT64CONST(24) * 60 * 60 * 1000000)

/* What a connection's certificate was verified with, for those after it. */
typedef struct KeptStore
{
	X509_STORE *store; /* NULL where there is none */
	char *path;        /* of the file or directory, from malloc */
	int64 since;
} KeptStore;

static KeptStore kept;

/* Why a file could not be read at last. */
static char last_problem[CURL_ERROR_SIZE];

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

void
authorities_forget(void)
{
	X509_STORE_free(kept.store);
	free(kept.path);
	kept.store = NULL;
	kept.path = NULL;
}

/* Keeps a store, with a reference of its own, in the place of the one before. */
static void
keep_store(X509_STORE *store, const char *path)
{
	authorities_forget();
	kept.path = strdup(path);
	kept.since = http_now();
	if (kept.path != NULL && X509_STORE_up_ref(store))
		kept.store = store;
}

/* Lets a connection be verified with what is kept. Returns whether it is of this path, and not too old. */
static bool
use_kept_store(SSL_CTX *context, const char *path)
{
	if (kept.store == NULL || strcmp(kept.path, path) != 0 || http_now() - kept.since > KEPT_US ||
		!X509_STORE_up_ref(kept.store))
		return false;
	SSL_CTX_set_cert_store(context, kept.store);
	return true;
}

/*
 * curl makes a store of certificates for each connection to verify, and OpenSSL reads those that it needs of the directory into it,
 * half as long as all the rest of a handshake takes. The first connection's serves those after it.
 * https://curl.se/libcurl/c/CURLOPT_SSL_CTX_FUNCTION.html
 */
static CURLcode
directory_callback(CURL *easy, void *ssl_context, void *directory)
{
	(void) easy;
	if (!use_kept_store(ssl_context, directory))
		keep_store(SSL_CTX_get_cert_store(ssl_context), directory);
	return CURLE_OK;
}

/*
 * curl's store is empty here. The one in its place is for TLS as curl's are: a certificate in the file is trusted by itself, whether
 * or not its own issuer is.
 * https://curl.se/libcurl/c/CURLOPT_SSL_OPTIONS.html (CURLSSLOPT_NO_PARTIALCHAIN)
 */
static CURLcode
file_callback(CURL *easy, void *ssl_context, void *file)
{
	X509_STORE *store;

	(void) easy;
	if (use_kept_store(ssl_context, file))
		return CURLE_OK;
	store = bundle_open(file, last_problem, sizeof(last_problem));
	if (store == NULL)
		return CURLE_SSL_CACERT_BADFILE;
	X509_STORE_set_flags(store, X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
	keep_store(store, file);
	SSL_CTX_set_cert_store(ssl_context, store);
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
 * Either a file or a directory, never both: with both (which is how libcurl comes on Debian) curl reads the file anew for each
 * connection. Where curl has another OpenSSL it reads the file itself, and keeps it if it is new enough.
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
	if (shares_openssl())
	{
		curl_ssl_ctx_callback callback = NULL;

		if (directory != NULL)
			callback = directory_callback;
		else if (file != NULL)
		{
			callback = file_callback;
			/*
			 * To curl it is a directory: so it uses no connection again that was verified with another file, and OpenSSL, which looks
			 * into directories when it needs a certificate, reads nothing before the callback.
			 */
			directory = file;
			file = NULL;
		}
		if (curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, callback) != CURLE_OK ||
			curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, directory) != CURLE_OK)
			return false;
	}
	return curl_easy_setopt(easy, CURLOPT_CAINFO, file) == CURLE_OK &&
		   curl_easy_setopt(easy, CURLOPT_CAPATH, directory) == CURLE_OK;
}

const char *
authorities_last_problem(void)
{
	return last_problem;
}
