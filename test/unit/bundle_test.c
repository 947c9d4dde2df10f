/*
 * bundle_test.c
 *		Files of certificate authorities: they are trusted for what OpenSSL, reading the whole file, trusts them for.
 */
#include "http/bundle.h"

#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "tap.h"

#define SYSTEM_FILE "/etc/ssl/certs/ca-certificates.crt"
#define DAY 86400

static char path[] = "/tmp/bundle_test.XXXXXX";

/* Which of OpenSSL's allocations fails, counted from the last reset; none where it is negative. */
static int refused_at = -1;
static int allocations;

static void *
allocate(size_t size, const char *file, int line)
{
	(void) file;
	(void) line;
	return allocations++ == refused_at ? NULL : malloc(size);
}

static void *
reallocate(void *block, size_t size, const char *file, int line)
{
	(void) file;
	(void) line;
	return allocations++ == refused_at ? NULL : realloc(block, size);
}

static void
release(void *block, const char *file, int line)
{
	(void) file;
	(void) line;
	free(block);
}

typedef struct Identity
{
	EVP_PKEY *key;
	X509 *certificate;
} Identity;

static EVP_PKEY *
make_key(void)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_id(EVP_PKEY_EC, NULL);
	EVP_PKEY *key = NULL;

	if (!EVP_PKEY_keygen_init(context) ||
		!EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context, NID_X9_62_prime256v1) ||
		!EVP_PKEY_keygen(context, &key))
		abort();
	EVP_PKEY_CTX_free(context);
	return key;
}

static void
add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;

	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	if (extension == NULL || !X509_add_ext(certificate, extension, -1))
		abort();
	X509_EXTENSION_free(extension);
}

/* A certificate of an issuer's, or with NULL one that is its own. Version 1 has no extensions, 3 says that it is an authority. */
static Identity
make_identity(const char *name, const Identity *issuer, long version)
{
	static long serial = 0;
	Identity made = {make_key(), X509_new()};
	X509_NAME *subject = X509_get_subject_name(made.certificate);

	if (issuer == NULL)
		issuer = &made;
	X509_set_version(made.certificate, version - 1);
	ASN1_INTEGER_set(X509_get_serialNumber(made.certificate), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(made.certificate), -DAY);
	X509_gmtime_adj(X509_getm_notAfter(made.certificate), DAY);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *) name, -1, -1,
							   0);
	X509_set_issuer_name(made.certificate, X509_get_subject_name(issuer->certificate));
	X509_set_pubkey(made.certificate, made.key);
	if (version == 3)
	{
		add_extension(made.certificate, issuer->certificate, NID_basic_constraints,
					  "critical,CA:TRUE");
		add_extension(made.certificate, issuer->certificate, NID_subject_key_identifier, "hash");
		add_extension(made.certificate, issuer->certificate, NID_authority_key_identifier, "keyid");
	}
	if (!X509_sign(made.certificate, issuer->key, EVP_sha256()))
		abort();
	return made;
}

static void
free_identity(Identity *identity)
{
	EVP_PKEY_free(identity->key);
	X509_free(identity->certificate);
}

static void
write_file(const char *text, size_t length)
{
	FILE *file = fopen(path, "w");

	if (file == NULL || fwrite(text, 1, length, file) != length || fclose(file) != 0)
		abort();
}

/* Writes what was put into a BIO of memory, and gives that back. */
static void
write_and_free(BIO *text)
{
	char *data;
	long length = BIO_get_mem_data(text, &data);

	write_file(data, (size_t) length);
	BIO_free(text);
}

/* Writes the certificates of these, up to NULL. */
static void
write_certificates(const Identity *first, ...)
{
	BIO *text = BIO_new(BIO_s_mem());
	va_list others;

	va_start(others, first);
	for (const Identity *identity = first; identity != NULL;
		 identity = va_arg(others, const Identity *))
		PEM_write_bio_X509(text, identity->certificate);
	va_end(others);
	write_and_free(text);
}

static X509_STORE *
open_bundle(void)
{
	char problem[512];

	return bundle_open(path, problem, sizeof(problem));
}

/* The same by OpenSSL, which parses all of it. */
static X509_STORE *
open_by_openssl(void)
{
	X509_STORE *store = X509_STORE_new();

	if (!X509_STORE_load_locations(store, path, NULL))
	{
		X509_STORE_free(store);
		store = NULL;
	}
	return store;
}

/* What a store says of a server's certificate: X509_V_OK, its error, or -1 where there is no store. */
static int
verdict(X509_STORE *store, X509 *certificate)
{
	X509_STORE_CTX *context;
	int error;

	if (store == NULL)
		return -1;
	X509_STORE_set_flags(store, X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
	context = X509_STORE_CTX_new();
	if (context == NULL || !X509_STORE_CTX_init(context, store, certificate, NULL) ||
		!X509_STORE_CTX_set_default(context, "ssl_server"))
		error = X509_V_ERR_OUT_OF_MEM;
	else
	{
		int verified = X509_verify_cert(context);

		error = X509_STORE_CTX_get_error(context);
		if (verified <= 0 && error == X509_V_OK)
			error = X509_V_ERR_UNSPECIFIED;
	}
	X509_STORE_CTX_free(context);
	return error;
}

static int
verdict_and_free(X509_STORE *store, X509 *certificate)
{
	int error = verdict(store, certificate);

	X509_STORE_free(store);
	return error;
}

/* The file's verdict is the expected one, and OpenSSL's own. */
static void
check_verdict(X509 *certificate, int expected, const char *what)
{
	tap_is_int(verdict_and_free(open_bundle(), certificate), expected, "%s", what);
	tap_is_int(verdict_and_free(open_by_openssl(), certificate), expected, "%s: so says OpenSSL",
			   what);
}

static void
test_trust(void)
{
	Identity root = make_identity("the root", NULL, 3);
	Identity impostor = make_identity("the root", NULL, 3);
	Identity other = make_identity("another root", NULL, 3);
	Identity old = make_identity("an old root", NULL, 1);
	Identity below = make_identity("an authority below", &root, 3);
	Identity server = make_identity("a server", &root, 3);
	Identity far_server = make_identity("a server further down", &below, 3);
	Identity old_server = make_identity("an old server", &old, 1);
	Identity lone_server = make_identity("a server on its own", NULL, 3);
	BIO *text;
	X509 *with_trust;

	write_certificates(&root, (Identity *) NULL);
	check_verdict(server.certificate, X509_V_OK, "an authority that is in the file");
	check_verdict(root.certificate, X509_V_OK, "the authority itself");
	check_verdict(lone_server.certificate, X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
				  "a certificate that is its own authority");
	check_verdict(far_server.certificate, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
				  "an authority between that is not there");

	write_certificates(&other, (Identity *) NULL);
	check_verdict(server.certificate, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
				  "an authority that is not in the file");

	write_certificates(&impostor, (Identity *) NULL);
	check_verdict(server.certificate, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
				  "one of the same name with another key");

	write_certificates(&impostor, &other, &root, &root, (Identity *) NULL);
	check_verdict(server.certificate, X509_V_OK, "two of the same name, the right one behind");

	text = BIO_new(BIO_s_mem());
	BIO_puts(text, "A comment\n=========\n");
	PEM_write_bio_PrivateKey(text, other.key, NULL, NULL, 0, NULL, NULL);
	PEM_write_bio_X509(text, lone_server.certificate);
	BIO_puts(text, "\r\nanother\r\n");
	PEM_write_bio_X509(text, old.certificate);
	PEM_write_bio_X509(text, below.certificate);
	BIO_puts(text, "and no end of line");
	write_and_free(text);
	check_verdict(lone_server.certificate, X509_V_OK, "the server's certificate itself");
	check_verdict(far_server.certificate, X509_V_OK, "an authority without the one above it");
	check_verdict(old_server.certificate, X509_V_OK, "an authority of version 1");
	check_verdict(server.certificate, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
				  "one above what is in the file");

	with_trust = X509_dup(root.certificate);
	X509_add1_reject_object(with_trust, OBJ_nid2obj(NID_server_auth));
	text = BIO_new(BIO_s_mem());
	PEM_write_bio_X509_AUX(text, with_trust);
	write_and_free(text);
	check_verdict(server.certificate, X509_V_ERR_CERT_REJECTED,
				  "an authority that is not for servers");
	X509_free(with_trust);
	with_trust = X509_dup(root.certificate);
	X509_add1_trust_object(with_trust, OBJ_nid2obj(NID_server_auth));
	text = BIO_new(BIO_s_mem());
	PEM_write_bio_X509_AUX(text, with_trust);
	write_and_free(text);
	check_verdict(server.certificate, X509_V_OK, "an authority that is for servers");
	X509_free(with_trust);

	free_identity(&root);
	free_identity(&impostor);
	free_identity(&other);
	free_identity(&old);
	free_identity(&below);
	free_identity(&server);
	free_identity(&far_server);
	free_identity(&old_server);
	free_identity(&lone_server);
}

/* One store serves connection after connection. */
static void
test_again(void)
{
	Identity root = make_identity("the root", NULL, 3);
	Identity server = make_identity("a server", &root, 3);
	Identity stranger = make_identity("a stranger", NULL, 3);
	X509_STORE *store;
	int trusted = 0;
	int refused = 0;

	write_certificates(&root, (Identity *) NULL);
	store = open_bundle();
	unlink(path);
	for (int i = 0; i < 10; i++)
	{
		trusted += verdict(store, server.certificate) == X509_V_OK;
		refused += verdict(store, stranger.certificate) > X509_V_OK;
	}
	tap_is_int(trusted, 10, "a store is good for many connections, without the file");
	tap_is_int(refused, 10, "and trusts no others by that");
	X509_STORE_free(store);
	free_identity(&root);
	free_identity(&server);
	free_identity(&stranger);
}

static void
check_problem(const char *text, const char *expected, const char *what)
{
	char problem[512] = "";
	X509_STORE *store;

	if (text != NULL)
		write_file(text, strlen(text));
	else
		unlink(path);
	store = bundle_open(path, problem, sizeof(problem));
	tap_ok(store == NULL, "%s is no file of authorities", what);
	if (!tap_ok(strstr(problem, expected) != NULL && strstr(problem, path) != NULL,
				"the problem says so"))
		printf("# %s\n", problem);
	X509_STORE_free(store);
}

#define BEGIN "-----BEGIN CERTIFICATE-----\n"
#define END "-----END CERTIFICATE-----\n"

static void
test_problems(void)
{
	check_problem(NULL, "No such file or directory", "what is not there");
	check_problem("", "there is no certificate", "an empty file");
	check_problem("some text\n", "there is no certificate", "text");
	check_problem("-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n",
				  "there is no certificate", "a list of what was revoked");
	check_problem(BEGIN "M*A=\n" END, "malformed", "what is not base64");
	check_problem(BEGIN "MAA=\n", "malformed", "a certificate that ends early");
	check_problem(BEGIN "MAA=\n" END, "malformed", "an empty certificate");
	check_problem(BEGIN "MIAAAA==\n" END, "malformed", "one whose length is not told");
	check_problem(BEGIN "MIR/////MAAwAA==\n" END, "malformed", "one that says to be 2 GB long");
	check_problem(BEGIN "MAwwCqADAgECAgEBMAA=\n" END, "malformed", "one without a subject");
}

/* A certificate that is cut or changed at each byte is refused, or not trusted, or trusted where the change is in none of its parts. */
static void
test_broken(void)
{
	Identity root = make_identity("the root", NULL, 3);
	Identity server = make_identity("a server", &root, 3);
	unsigned char *der = NULL;
	int length = i2d_X509(root.certificate, &der);
	int differences = 0;

	for (int cut = 0; cut < 2 * length; cut++)
	{
		unsigned char *broken = malloc(length);
		BIO *text = BIO_new(BIO_s_mem());
		bool is_cut = cut < length;

		memcpy(broken, der, length);
		if (!is_cut)
			broken[cut - length] ^= 0xFF;
		PEM_write_bio(text, PEM_STRING_X509, "", broken, is_cut ? cut : length);
		write_and_free(text);
		/* OpenSSL may refuse the file where the certificate is only never found here. */
		differences += (verdict_and_free(open_bundle(), server.certificate) == X509_V_OK) !=
					   (verdict_and_free(open_by_openssl(), server.certificate) == X509_V_OK);
		free(broken);
	}
	tap_is_int(differences, 0,
			   "a certificate cut or changed at each byte is trusted only where OpenSSL trusts it");
	OPENSSL_free(der);
	free_identity(&root);
	free_identity(&server);
}

/* What is trusted does not depend on which allocation fails, but that it may be nothing. */
static void
test_memory(void)
{
	Identity root = make_identity("the root", NULL, 3);
	Identity server = make_identity("a server", &root, 3);
	Identity stranger = make_identity("a stranger", NULL, 3);
	Identity unknown = make_identity("an unknown one", NULL, 3);
	int failures = 0;
	int wrongly_trusted = 0;
	int refused;

	write_certificates(&root, &stranger, (Identity *) NULL);
	for (refused = 0;; refused++)
	{
		X509_STORE *store;
		bool was_refused;

		allocations = 0;
		refused_at = refused;
		store = open_bundle();
		was_refused = allocations > refused;
		failures += store == NULL;
		refused_at = -1;
		X509_STORE_free(store);
		if (!was_refused)
			break;
	}
	tap_ok(failures > 20 && failures <= refused, "%d of %d allocations are refused, each once",
		   failures, refused);

	for (refused = 0;; refused++)
	{
		X509_STORE *store = open_bundle();
		X509 *certificate = X509_dup(server.certificate);
		X509 *strange = X509_dup(unknown.certificate);
		bool was_refused;

		allocations = 0;
		refused_at = refused;
		verdict(store, certificate);
		wrongly_trusted += verdict(store, strange) == X509_V_OK;
		was_refused = allocations > refused;
		refused_at = -1;
		X509_STORE_free(store);
		X509_free(certificate);
		X509_free(strange);
		if (!was_refused)
			break;
	}
	tap_ok(refused > 20, "the same while servers are verified, %d times", refused);
	tap_is_int(wrongly_trusted, 0, "and no other server is trusted by that");
	free_identity(&root);
	free_identity(&server);
	free_identity(&stranger);
	free_identity(&unknown);
}

/* All that the system trusts. */
static void
test_system(void)
{
	BIO *file = BIO_new_file(SYSTEM_FILE, "r");
	char problem[512];
	X509_STORE *store;
	X509 *certificate;
	int count = 0;
	int trusted = 0;

	if (file == NULL)
	{
		tap_skip("there is no " SYSTEM_FILE);
		return;
	}
	store = bundle_open(SYSTEM_FILE, problem, sizeof(problem));
	while ((certificate = PEM_read_bio_X509(file, NULL, NULL, NULL)) != NULL)
	{
		X509_OBJECT *found = X509_OBJECT_new();
		X509_STORE_CTX *context = X509_STORE_CTX_new();

		count++;
		X509_STORE_CTX_init(context, store, NULL, NULL);
		trusted += X509_STORE_CTX_get_by_subject(context, X509_LU_X509,
												 X509_get_subject_name(certificate), found) == 1 &&
				   X509_NAME_cmp(X509_get_subject_name(X509_OBJECT_get0_X509(found)),
								 X509_get_subject_name(certificate)) == 0;
		X509_OBJECT_free(found);
		X509_STORE_CTX_free(context);
		X509_free(certificate);
	}
	tap_ok(count > 0, "the system trusts some authorities");
	tap_is_int(trusted, count, "each is found by its name");
	X509_STORE_free(store);
	BIO_free(file);
}

int
main(void)
{
	int descriptor;

	if (!CRYPTO_set_mem_functions(allocate, reallocate, release))
		abort();
	descriptor = mkstemp(path);
	if (descriptor < 0)
		abort();
	close(descriptor);
	test_trust();
	test_again();
	test_problems();
	test_broken();
	test_memory();
	test_system();
	unlink(path);
	return tap_finish();
}
