/*
 * authorities.c
 *		The certificate authorities that servers are verified against. See authorities.h.
 */
#include "http/authorities.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "http/bundle.h"
#include "http/http.h"

/* How long what was read is trusted: as long as curl trusts what it reads itself (CURLOPT_CA_CACHE_TIMEOUT). */
#define KEPT_US (INT64CONST(24) * 60 * 60 * 1000000)

/* It can hold nothing, for it is in no directory. */
#define UNREAL_DIRECTORY "/dev/null/"
#define UNREAL_DIRECTORY_SIZE (sizeof(UNREAL_DIRECTORY) + 2 * EVP_MAX_MD_SIZE)

/*
 * Since 8.21 a CURLOPT_CAINFO of NULL lets curl take its own file, unless there is a blob in its place, and since 8.17 a curl that was
 * built without a directory passes over CURLOPT_CAPATH:
 * https://github.com/curl/curl/blob/curl-8_21_0/lib/vtls/vtls_config.c
 * https://github.com/curl/curl/issues/19401
 */
#define BLOB_SINCE 0x081100

/* A certificate whose key nobody has; nor would anybody trust it, for it has expired. */
static const char nobody[] = "-----BEGIN CERTIFICATE-----\n"
							 "MIIBdjCCAR2gAwIBAgIUHcSDxbVu1nJM4lszduRE3CGmkQ0wCgYIKoZIzj0EAwIw\n"
							 "ETEPMA0GA1UEAwwGbm9ib2R5MB4XDTI2MTEzMDA3NDQxM1oXDTI2MTIwMTA3NDQx\n"
							 "M1owETEPMA0GA1UEAwwGbm9ib2R5MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n"
							 "zcvuZzo9B8I0v4oYxWuH0DzcqGUD3Q/TsP/vNaxguS6lLzqbxG6MbeW6w4UBa0uI\n"
							 "Mv3oazLB5DzJoNZL0jeA/aNTMFEwHQYDVR0OBBYEFMdM2ygr50EghFXcM5SyH8XU\n"
							 "az+SMB8GA1UdIwQYMBaAFMdM2ygr50EghFXcM5SyH8XUaz+SMA8GA1UdEwEB/wQF\n"
							 "MAMBAf8wCgYIKoZIzj0EAwIDRwAwRAIgDYFA3r8vfdrOwqbceNxsqECWWTzQTxwT\n"
							 "f0eRVErFVUACIHmfryokELg6Vy2xYnmtIuhI1hRVaSQjBDuKn7xCuMb9\n"
							 "-----END CERTIFICATE-----\n";

/* What a connection's certificate was verified with, for those after it. */
typedef struct KeptStore
{
	X509_STORE *store; /* NULL where there is none */
	char *path;        /* of the file or directory, from malloc */
	int64 since;
} KeptStore;

static KeptStore kept;

/* Why a connection's store could not be made, of the last connection. */
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

/* A store that looks into a hashed directory when it needs a certificate. */
static X509_STORE *
directory_open(const char *path)
{
	X509_STORE *store;
	X509_LOOKUP *lookup;

	/* To OpenSSL it would be two directories. */
	if (strchr(path, ':') != NULL)
	{
		snprintf(last_problem, sizeof(last_problem),
				 "a directory of certificate authorities must not have a colon in its name: \"%s\"",
				 path);
		return NULL;
	}
	store = X509_STORE_new();
	lookup = store != NULL ? X509_STORE_add_lookup(store, X509_LOOKUP_hash_dir()) : NULL;
	if (lookup == NULL || !X509_LOOKUP_add_dir(lookup, path, X509_FILETYPE_PEM))
	{
		snprintf(last_problem, sizeof(last_problem), "out of memory");
		X509_STORE_free(store);
		return NULL;
	}
	return store;
}

/* A store that trusts a file or a directory. NULL, with last_problem, where there is none. */
static X509_STORE *
open_store(const char *path)
{
	struct stat status;
	X509_STORE *store = stat(path, &status) == 0 && S_ISDIR(status.st_mode)
							? directory_open(path)
							: bundle_open(path, last_problem, sizeof(last_problem));

	/*
	 * For TLS as curl's own are: a certificate that is there is trusted by itself, whether or not its own issuer is.
	 * https://curl.se/libcurl/c/CURLOPT_SSL_OPTIONS.html (CURLSSLOPT_NO_PARTIALCHAIN)
	 */
	if (store != NULL)
		X509_STORE_set_flags(store, X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
	return store;
}

/*
 * curl makes a store of certificates for each connection to verify, and it is read into anew. Ours takes its place: the first
 * connection's serves those after it.
 * https://curl.se/libcurl/c/CURLOPT_SSL_CTX_FUNCTION.html
 */
static CURLcode
ssl_context_callback(CURL *easy, void *ssl_context, void *path)
{
	(void) easy;
	last_problem[0] = '\0';
	if (kept.store == NULL || strcmp(kept.path, path) != 0 || http_now() - kept.since > KEPT_US)
	{
		X509_STORE *store = open_store(path);

		if (store == NULL)
			return CURLE_SSL_CACERT_BADFILE;
		keep_store(store, path);
		SSL_CTX_set_cert_store(ssl_context, store);
		return CURLE_OK;
	}
	if (!X509_STORE_up_ref(kept.store))
		return CURLE_OUT_OF_MEMORY;
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

/* The path of what is trusted. `is_file` says of the system's which it is: curl may know both. NULL where there is none. */
static const char *
trusted_path(const char *ca_bundle, bool *is_file)
{
	static bool known = false;
	static bool is_hashed = false;
	const char *file;
	const char *directory;
	struct stat status;

	if (ca_bundle[0] != '\0')
	{
		*is_file = stat(ca_bundle, &status) != 0 || !S_ISDIR(status.st_mode);
		return ca_bundle;
	}
	system_certificate_authorities(&file, &directory);
	if (!known)
	{
		is_hashed = directory != NULL && is_hashed_directory(directory);
		known = true;
	}
	*is_file = !is_hashed;
	return is_hashed ? directory : file;
}

/*
 * A directory that cannot be, another one for each path: by it curl uses no connection again that was verified with another, and
 * whatever curl makes of it adds nothing to what is trusted.
 */
static bool
unreal_directory(const char *path, char directory[UNREAL_DIRECTORY_SIZE])
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned int length;
	char *end = directory + strlen(strcpy(directory, UNREAL_DIRECTORY));

	if (!EVP_Digest(path, strlen(path), hash, &length, EVP_sha256(), NULL))
		return false;
	for (unsigned int i = 0; i < length; i++)
		end += sprintf(end, "%02x", hash[i]);
	return true;
}

/*
 * Either a file or a directory, never both: with both (which is how libcurl comes on Debian) curl reads the file anew for each
 * connection. Where curl has another OpenSSL it reads either itself, and keeps a file if it is new enough.
 * https://curl.se/libcurl/c/CURLOPT_CA_CACHE_TIMEOUT.html
 */
bool
authorities_attach(CURL *easy, const char *ca_bundle)
{
	char unreal[UNREAL_DIRECTORY_SIZE];
	bool is_file;
	const char *path = trusted_path(ca_bundle, &is_file);
	bool is_ours = path != NULL && shares_openssl();

	if (!unreal_directory(path != NULL ? path : "", unreal))
		return false;
	/* A handle may have been told another path before, whose memory is gone. */
	if (shares_openssl() && (curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION,
											  is_ours ? ssl_context_callback : NULL) != CURLE_OK ||
							 curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, path) != CURLE_OK))
		return false;
	if (curl_easy_setopt(easy, CURLOPT_CAINFO, is_file && !is_ours ? path : NULL) != CURLE_OK ||
		curl_easy_setopt(easy, CURLOPT_CAPATH, is_file || is_ours ? unreal : path) != CURLE_OK)
		return false;
#if CURL_AT_LEAST_VERSION(7, 77, 0)
	if (curl_version_info(CURLVERSION_NOW)->version_num >= BLOB_SINCE)
	{
		char text[sizeof(nobody) + sizeof(unreal)];
		struct curl_blob blob = {text, 0, CURL_BLOB_COPY};
		bool has_blob = is_ours || !is_file;

		/* What is behind a certificate is a comment, by which the blob is this path's. */
		blob.len = (size_t) snprintf(text, sizeof(text), "%s%s", nobody, unreal);
		return curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, has_blob ? &blob : NULL) == CURLE_OK ||
			   !has_blob;
	}
#endif
	return true;
}

const char *
authorities_last_problem(void)
{
	return last_problem;
}
