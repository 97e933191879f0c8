/*
 * http_error.c
 *		How a transfer ended: its class, and words that a person understands.
 *
 * What libcurl says is used where it is clear.  Where it quotes OpenSSL, or
 * would name a file of ours, there are words of our own, which say the same
 * each time.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/x509_vfy.h>

#include "transfer.h"

/* From libcurl 8.6 on; before that no code has this number, nor this name. */
#define TOO_LARGE ((CURLcode) 100)

/* libcurl has room for a header line up to a limit; it used to say memory. */
static bool
is_endless_line(const Transfer *transfer, CURLcode code)
{
	return (code == CURLE_OUT_OF_MEMORY || code == TOO_LARGE) &&
		transfer->result.status != 0;
}

/*
 * Why there was no socket, if that is our own trouble; NULL: it is not.  A kind
 * of address that this server does not speak is the receiver's.
 */
static const char *
find_shortage(const Transfer *transfer, CURLcode code)
{
	if (code != CURLE_COULDNT_CONNECT)
		return NULL;
	switch (transfer->socket_error)
	{
		case EMFILE:
		case ENFILE:
			return "this server has too many open files";
		case ENOBUFS:
		case ENOMEM:
			return "out of memory";
		default:
			return NULL;
	}
}

HttpErrorClass
wh_http_classify(const Transfer *transfer, CURLcode code)
{
	if (transfer->is_blocked && !transfer->is_dialled)
		return HTTP_BLOCKED;
	if (transfer->answer.fault != ANSWER_FINE || transfer->is_flooded)
		return HTTP_PROTOCOL;
	switch (code)
	{
		case CURLE_OK:
			return transfer->result.status / 100 == 2 ? HTTP_OK : HTTP_STATUS;
		case CURLE_OPERATION_TIMEDOUT:
			return HTTP_TIMEOUT;
		case CURLE_COULDNT_RESOLVE_HOST:
			return HTTP_DNS;
		case CURLE_COULDNT_CONNECT:
			return find_shortage(transfer, code) ? HTTP_INTERNAL : HTTP_CONNECT;
		case CURLE_SSL_CONNECT_ERROR:
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CIPHER:
		case CURLE_SSL_CERTPROBLEM:
		case CURLE_SSL_ISSUER_ERROR:
		case CURLE_SSL_INVALIDCERTSTATUS:
			return HTTP_TLS;
		case CURLE_OUT_OF_MEMORY:
			return is_endless_line(transfer, code) ? HTTP_PROTOCOL : HTTP_INTERNAL;
		case CURLE_SSL_CACERT_BADFILE:
		case CURLE_FAILED_INIT:
		case CURLE_URL_MALFORMAT:
			return HTTP_INTERNAL;
		default:
			return HTTP_PROTOCOL;
	}
}

/* What OpenSSL found wrong with the receiver's certificate. */
static const char *
describe_certificate(CURL *easy)
{
	long		found = X509_V_OK;

	curl_easy_getinfo(easy, CURLINFO_SSL_VERIFYRESULT, &found);
	switch (found)
	{
		case X509_V_OK:
		case X509_V_ERR_UNSPECIFIED:	/* libcurl compares names itself */
		case X509_V_ERR_HOSTNAME_MISMATCH:
		case X509_V_ERR_IP_ADDRESS_MISMATCH:
			return "the receiver's certificate is for another host name";
		case X509_V_ERR_CERT_HAS_EXPIRED:
			return "the receiver's certificate has expired";
		case X509_V_ERR_CERT_NOT_YET_VALID:
			return "the receiver's certificate is not valid yet";
		case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
			return "the receiver's certificate is self-signed";
		case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
			return "the receiver's certificate is from an authority that is not trusted";
		case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
		case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
		case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
			return "the receiver's certificate is from an authority that is not trusted, or an intermediate certificate is missing";
		default:
			return "the receiver's certificate is not acceptable";
	}
}

/* Words for a code, of which libcurl's own contain a part, if one is given. */
static const struct
{
	CURLcode	code;
	const char *part;
	const char *words;
}			translations[] = {

	{CURLE_SSL_CACERT_BADFILE, NULL,
	"the certificate authorities of this server cannot be read"},
	{CURLE_SSL_CONNECT_ERROR, "wrong version number",
	"the receiver does not speak TLS on this port"},
	{CURLE_SSL_CONNECT_ERROR, "protocol version",
	"the receiver does not speak TLS 1.2 or later"},
	{CURLE_SSL_CONNECT_ERROR, "unsupported protocol",
	"the receiver does not speak TLS 1.2 or later"},
	{CURLE_SSL_CONNECT_ERROR, NULL, "the TLS handshake failed"},
	{CURLE_ABORTED_BY_CALLBACK, NULL,
	"the receiver closed the connection without an answer"},
};

const char *
wh_http_describe(const Transfer *transfer, CURLcode code)
{
	if (transfer->result.error_class == HTTP_OK)
		return "";
	if (transfer->result.error_class == HTTP_BLOCKED)
		return WH_GUARD_BLOCKED;
	if (transfer->answer.fault == ANSWER_TOO_MANY_HEADERS)
		return "the receiver sent too many headers";
	if (transfer->answer.fault == ANSWER_SWITCHES_PROTOCOL)
		return "the receiver switched to another protocol";
	if (transfer->is_flooded)
		return "the receiver sent too many bytes beside its answer";
	if (find_shortage(transfer, code))
		return find_shortage(transfer, code);
	if (is_endless_line(transfer, code))
		return "the receiver sent a header line that is too long";
	if (code == CURLE_PEER_FAILED_VERIFICATION)
		return describe_certificate(transfer->easy);
	for (size_t i = 0; i < sizeof(translations) / sizeof(translations[0]); i++)
	{
		if (translations[i].code == code &&
			(translations[i].part == NULL ||
			 strstr(transfer->curl_error, translations[i].part)))
			return translations[i].words;
	}
	return transfer->curl_error[0] ? transfer->curl_error :
		curl_easy_strerror(code);
}
