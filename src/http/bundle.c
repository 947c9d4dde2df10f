/*
 * bundle.c
 *		A file of certificate authorities, of which only those are parsed that are asked for. See bundle.h.
 *
 * OpenSSL parses all that a file has, 0.3 ms for each certificate: some 45 ms for what a system trusts, in each backend, of which a
 * server's certificate needs one. Here only the subjects' names are read at first; a certificate is parsed when OpenSSL looks
 * for its name, by the same way by which it reads hashed directories.
 * https://docs.openssl.org/3.0/man3/X509_LOOKUP_meth_new/
 */
#include "http/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>

/* A system's file has some 200 kB. */
#define MAX_BYTES (64 * 1024 * 1024)

/* OpenSSL's functions take names that are not to be changed since 3.0. */
#if OPENSSL_VERSION_NUMBER < 0x30000000L
#define LOOKUP_NAME X509_NAME
#else
#define LOOKUP_NAME const X509_NAME
#endif

/* A certificate that is not parsed. */
typedef struct Certificate
{
	X509_NAME *subject;
	unsigned char *der; /* from OpenSSL's allocator */
	long length;
	bool has_trust; /* whether OpenSSL's trust settings follow the certificate */
} Certificate;

typedef struct Bundle
{
	Certificate *certificates; /* from OpenSSL's allocator */
	int count;
	int room;
} Bundle;

static void
bundle_free(Bundle *bundle)
{
	if (bundle == NULL)
		return;
	for (int i = 0; i < bundle->count; i++)
	{
		X509_NAME_free(bundle->certificates[i].subject);
		OPENSSL_free(bundle->certificates[i].der);
	}
	OPENSSL_free(bundle->certificates);
	OPENSSL_free(bundle);
}

/*
 * Steps over the head of an element of DER that ends before `end`. Returns where its content ends, and NULL where this is no element.
 */
static const unsigned char *
enter_element(const unsigned char **der, const unsigned char *end, int *tag)
{
	long length;
	int class;
	int head = ASN1_get_object(der, &length, tag, &class, end - *der);

	/* 0x80 is malformed, and 1 of a length that is told by its end only, which DER does not have. */
	if ((head & 0x81) != 0 || length > end - *der)
		return NULL;
	if (class != V_ASN1_UNIVERSAL)
		*tag = -1;
	return *der + length;
}

/*
 * The subject of a certificate: TBSCertificate's element behind version (which may be missing), serialNumber, signature, issuer
 * and validity. NULL where it has none, or there is no memory.
 * https://www.rfc-editor.org/rfc/rfc5280#section-4.1
 */
static X509_NAME *
read_subject(const unsigned char *der, long length)
{
	const unsigned char *end = der + length;
	int tag;

	/* Certificate, and TBSCertificate in it. */
	for (int depth = 0; depth < 2; depth++)
	{
		end = enter_element(&der, end, &tag);
		if (end == NULL || tag != V_ASN1_SEQUENCE)
			return NULL;
	}
	for (int before = 4; before > 0; before--)
	{
		const unsigned char *next = enter_element(&der, end, &tag);

		if (next == NULL)
			return NULL;
		if (before == 4 && tag != V_ASN1_INTEGER)
			before++; /* the version */
		der = next;
	}
	return d2i_X509_NAME(NULL, &der, end - der);
}

static X509 *
parse_certificate(const Certificate *certificate)
{
	const unsigned char *der = certificate->der;

	return certificate->has_trust ? d2i_X509_AUX(NULL, &der, certificate->length)
								  : d2i_X509(NULL, &der, certificate->length);
}

/* Puts what is there under a name into the store, as OpenSSL asks it of such a function. Returns whether there is any. */
static int
find_by_subject(X509_LOOKUP *lookup, X509_LOOKUP_TYPE type, LOOKUP_NAME *subject,
				X509_OBJECT *result)
{
	const Bundle *bundle = X509_LOOKUP_get_method_data(lookup);
	bool found = false;

	if (type != X509_LU_X509 || bundle == NULL)
		return 0;
	ERR_set_mark();
	for (int i = 0; i < bundle->count; i++)
	{
		X509 *certificate;

		if (X509_NAME_cmp(bundle->certificates[i].subject, subject) != 0)
			continue;
		certificate = parse_certificate(&bundle->certificates[i]);
		if (certificate == NULL)
			continue;
		if (X509_STORE_add_cert(X509_LOOKUP_get_store(lookup), certificate) && !found &&
			X509_OBJECT_set1_X509(result, certificate))
		{
			found = true;
			/* OpenSSL takes a reference of its own to the result, and gives back one only. */
			X509_free(certificate);
		}
		X509_free(certificate);
	}
	ERR_pop_to_mark();
	return found;
}

static void
lookup_free(X509_LOOKUP *lookup)
{
	bundle_free(X509_LOOKUP_get_method_data(lookup));
}

/* The way to look certificates up in a bundle, made once. NULL where there is no memory. */
static X509_LOOKUP_METHOD *
lookup_method(void)
{
	static X509_LOOKUP_METHOD *method = NULL;

	if (method == NULL)
	{
		method = X509_LOOKUP_meth_new("certificates of a file, when asked for");
		if (method != NULL)
		{
			X509_LOOKUP_meth_set_get_by_subject(method, find_by_subject);
			X509_LOOKUP_meth_set_free(method, lookup_free);
		}
	}
	return method;
}

/* Adds a certificate, whose bytes are the bundle's then. */
static bool
add_certificate(Bundle *bundle, unsigned char *der, long length, bool has_trust)
{
	X509_NAME *subject;

	if (bundle->count == bundle->room)
	{
		int room = bundle->room == 0 ? 64 : 2 * bundle->room;
		Certificate *certificates =
			OPENSSL_realloc(bundle->certificates, room * sizeof(Certificate));

		if (certificates == NULL)
			return false;
		bundle->certificates = certificates;
		bundle->room = room;
	}
	subject = read_subject(der, length);
	if (subject == NULL)
		return false;
	bundle->certificates[bundle->count++] = (Certificate){subject, der, length, has_trust};
	return true;
}

/* Reads all certificates of a file. False where one is malformed, or there is no memory. */
static bool
read_certificates(Bundle *bundle, BIO *file)
{
	char *name;
	char *header;
	unsigned char *der;
	long length;

	while (PEM_read_bio(file, &name, &header, &der, &length))
	{
		bool has_trust = strcmp(name, PEM_STRING_X509_TRUSTED) == 0;
		bool is_certificate = has_trust || strcmp(name, PEM_STRING_X509) == 0 ||
							  strcmp(name, PEM_STRING_X509_OLD) == 0;
		bool added = is_certificate && add_certificate(bundle, der, length, has_trust);

		OPENSSL_free(name);
		OPENSSL_free(header);
		/* It may be a private key. */
		if (!added)
			OPENSSL_clear_free(der, length);
		if (is_certificate && !added)
			return false;
	}
	return ERR_GET_LIB(ERR_peek_last_error()) == ERR_LIB_PEM &&
		   ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
}

/* Opens a file, but not what would wait for its other end. NULL with errno. */
static BIO *
open_file(const char *path)
{
	struct stat status;
	FILE *file;
	BIO *bio;
	int descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (descriptor < 0)
		return NULL;
	if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size > MAX_BYTES)
	{
		close(descriptor);
		errno = EINVAL;
		return NULL;
	}
	file = fdopen(descriptor, "r");
	if (file == NULL)
	{
		close(descriptor);
		return NULL;
	}
	bio = BIO_new_fp(file, BIO_CLOSE);
	if (bio == NULL)
	{
		fclose(file);
		errno = ENOMEM;
	}
	return bio;
}

static Bundle *
bundle_read(const char *path, char *problem, size_t problem_size)
{
	Bundle *bundle = OPENSSL_zalloc(sizeof(Bundle));
	BIO *file = bundle != NULL ? open_file(path) : NULL;
	bool well_formed;

	if (file == NULL)
	{
		snprintf(problem, problem_size, "the certificate authorities cannot be read (%s): \"%s\"",
				 strerror(bundle != NULL ? errno : ENOMEM), path);
		bundle_free(bundle);
		return NULL;
	}
	well_formed = read_certificates(bundle, file);
	BIO_free(file);
	if (well_formed && bundle->count > 0)
		return bundle;
	snprintf(problem, problem_size,
			 well_formed ? "there is no certificate in PEM in \"%s\""
						 : "a certificate is malformed, or there is no memory for it, in \"%s\"",
			 path);
	bundle_free(bundle);
	return NULL;
}

/* A store that looks certificates up in a bundle, which is its own then. NULL where there is no memory. */
static X509_STORE *
store_of(Bundle *bundle)
{
	X509_STORE *store = X509_STORE_new();
	X509_LOOKUP_METHOD *method = lookup_method();
	X509_LOOKUP *lookup =
		store != NULL && method != NULL ? X509_STORE_add_lookup(store, method) : NULL;

	if (lookup == NULL || !X509_LOOKUP_set_method_data(lookup, bundle))
	{
		X509_STORE_free(store);
		bundle_free(bundle);
		return NULL;
	}
	return store;
}

X509_STORE *
bundle_open(const char *path, char *problem, size_t problem_size)
{
	Bundle *bundle;
	X509_STORE *store = NULL;

	ERR_set_mark();
	bundle = bundle_read(path, problem, problem_size);
	if (bundle != NULL)
	{
		store = store_of(bundle);
		if (store == NULL)
			snprintf(problem, problem_size, "out of memory");
	}
	ERR_pop_to_mark();
	return store;
}
