/*
 * bundle.h
 *		A file of certificate authorities, of which only those are parsed that a server's certificate asks for.
 */
#ifndef ATHENA_CALC_HTTP_BUNDLE_H
#define ATHENA_CALC_HTTP_BUNDLE_H

#include <stddef.h>

#include <openssl/x509.h>

/*
 * A store that trusts what the file at `path` has, in PEM, when it is read here: certificates, those with OpenSSL's own trust settings
 * among them. Anything else in it is passed over. The store has its own copy of them; it is the caller's, who gives it back with
 * X509_STORE_free(). Throws nothing and leaves nothing in OpenSSL's queue of errors.
 *
 * NULL where the file cannot be read, holds no certificate or what is no PEM, or there is no memory; `problem`, of `problem_size`
 * bytes, says which.
 */
extern X509_STORE *bundle_open(const char *path, char *problem, size_t problem_size);

#endif
