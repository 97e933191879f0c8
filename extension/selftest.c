/*
 * selftest.c
 *		Whether TLS can work here: certificate authorities, and a handshake.
 *
 * Plain C that raises no error and opens no socket: client and server are two
 * ends of a pipe in memory.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "selftest.h"

#define MAX_ROUNDS 32
#define HOST "selftest.invalid"

bool
wh_selftest_authorities(const char *file, char *problem, size_t size)
{
	BIO		   *input = BIO_new_file(file, "r");
	X509	   *certificate;
	int			found = 0;
	int			valid = 0;

	if (input == NULL)
	{
		snprintf(problem, size, "the file cannot be read: %s", strerror(errno));
		ERR_clear_error();
		return false;
	}
	while ((certificate = PEM_read_bio_X509_AUX(input, NULL, NULL, NULL)) != NULL)
	{
		found++;
		if (X509_cmp_current_time(X509_get0_notAfter(certificate)) > 0)
			valid++;
		X509_free(certificate);
	}
	BIO_free(input);
	ERR_clear_error();
	if (found == 0)
		snprintf(problem, size, "the file has no certificate in it");
	else if (valid == 0)
		snprintf(problem, size, "every certificate in the file has expired");
	return valid > 0;
}

/* A certificate that is its own authority, for an hour. */
static X509 *
make_certificate(EVP_PKEY *key)
{
	X509	   *certificate = X509_new();
	X509_NAME  *name;

	if (certificate == NULL)
		return NULL;
	name = X509_get_subject_name(certificate);
	if (!X509_set_version(certificate, 2) ||
		!ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) ||
		!X509_gmtime_adj(X509_getm_notBefore(certificate), -3600) ||
		!X509_gmtime_adj(X509_getm_notAfter(certificate), 3600) ||
		!X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
									(const unsigned char *) HOST, -1, -1, 0) ||
		!X509_set_issuer_name(certificate, name) ||
		!X509_set_pubkey(certificate, key) ||
		!X509_sign(certificate, key, EVP_sha256()))
	{
		X509_free(certificate);
		return NULL;
	}
	return certificate;
}

/* One end; the client trusts the certificate that the server shows. */
static SSL *
make_end(bool is_server, EVP_PKEY *key, X509 *certificate)
{
	SSL_CTX    *context = SSL_CTX_new(is_server ? TLS_server_method() :
									  TLS_client_method());
	SSL		   *end = NULL;

	if (context == NULL)
		return NULL;
	if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) &&
		(is_server ?
		 SSL_CTX_use_certificate(context, certificate) == 1 &&
		 SSL_CTX_use_PrivateKey(context, key) == 1 :
		 X509_STORE_add_cert(SSL_CTX_get_cert_store(context), certificate) == 1))
		end = SSL_new(context);
	SSL_CTX_free(context);
	if (end && is_server)
		SSL_set_accept_state(end);
	else if (end)
	{
		SSL_set_connect_state(end);
		SSL_set_verify(end, SSL_VERIFY_PEER, NULL);
		if (!SSL_set1_host(end, HOST))
		{
			SSL_free(end);
			return NULL;
		}
	}
	return end;
}

static bool
shake_hands(SSL *client, SSL *server)
{
	BIO		   *client_side;
	BIO		   *server_side;

	if (!BIO_new_bio_pair(&client_side, 0, &server_side, 0))
		return false;
	SSL_set_bio(client, client_side, client_side);
	SSL_set_bio(server, server_side, server_side);
	for (int i = 0; i < MAX_ROUNDS; i++)
	{
		int			said = SSL_do_handshake(client);
		int			answered;

		if (said != 1 && SSL_get_error(client, said) != SSL_ERROR_WANT_READ)
			return false;
		answered = SSL_do_handshake(server);
		if (answered != 1 &&
			SSL_get_error(server, answered) != SSL_ERROR_WANT_READ)
			return false;
		if (said == 1 && answered == 1)
			return true;
	}
	return false;
}

bool
wh_selftest_handshake(char *problem, size_t size)
{
	EVP_PKEY   *key = EVP_EC_gen("P-256");
	X509	   *certificate = key ? make_certificate(key) : NULL;
	SSL		   *client = NULL;
	SSL		   *server = NULL;
	bool		is_fine = false;

	ERR_clear_error();
	if (certificate)
	{
		client = make_end(false, key, certificate);
		server = make_end(true, key, certificate);
		is_fine = client && server && shake_hands(client, server);
	}
	if (!is_fine)
	{
		const char *reason = ERR_reason_error_string(ERR_peek_error());

		snprintf(problem, size, "a TLS handshake with ourselves fails: %s",
				 reason ? reason : "no reason is known");
	}
	SSL_free(client);
	SSL_free(server);
	X509_free(certificate);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return is_fine;
}
