/*
 * sign_test.c
 *		Both signatures, against vectors, and which secrets can make them.
 *
 * sign_test signing.tsv, prints TAP.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "sign.h"
#include "tap.h"

#define lengthof(array) (sizeof(array) / sizeof((array)[0]))
#define COLUMNS 7

enum
{
	NAME, SECRET, ID, TIMESTAMP, BODY, BODY_SIGNATURE, STANDARD_SIGNATURE
};

static const char standard_secret[] =
"whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

static SigningKey *
make_key(const char *secret)
{
	SigningKey *key = wh_sign_key_create(secret);

	if (key == NULL)
	{
		printf("Bail out! cannot create a key\n");
		exit(1);
	}
	return key;
}

static void
check_vector(char **column)
{
	SigningKey *key = make_key(column[SECRET]);
	size_t		length = strlen(column[BODY]);
	char		body[WH_SIGN_BODY_SIZE];
	char		standard[WH_SIGN_STANDARD_SIZE];
	bool		is_standard;

	if (strcmp(column[BODY_SIGNATURE], "-") != 0)
		check(wh_sign_body(key, column[BODY], length, body) &&
			  strcmp(body, column[BODY_SIGNATURE]) == 0 &&
			  wh_sign_verify_body(key, column[BODY], length, body),
			  "%s: body signature", column[NAME]);

	is_standard = strcmp(column[STANDARD_SIGNATURE], "-") != 0;
	check(wh_sign_key_is_standard(key) == is_standard &&
		  wh_sign_secret_is_standard(column[SECRET]) == is_standard,
		  "%s: the secret is %sa standard one", column[NAME],
		  is_standard ? "" : "not ");
	check(wh_sign_standard(key, column[ID], column[TIMESTAMP], column[BODY],
						   length, standard) == is_standard &&
		  strcmp(standard, is_standard ? column[STANDARD_SIGNATURE] : "") == 0,
		  "%s: standard signature", column[NAME]);
	wh_sign_key_free(key);
}

static void
check_vectors(const char *path)
{
	FILE	   *file = fopen(path, "r");
	char		line[4096];

	if (file == NULL)
	{
		printf("Bail out! cannot open %s\n", path);
		exit(1);
	}
	while (fgets(line, sizeof(line), file) != NULL)
	{
		char	   *column[COLUMNS];
		char	   *rest = line;
		int			count = 0;

		line[strcspn(line, "\n")] = '\0';
		while (line[0] != '#' && rest != NULL && count < COLUMNS)
			column[count++] = strsep(&rest, "\t");
		if (count == COLUMNS)
			check_vector(column);
	}
	fclose(file);
}

static void
standard_secrets_are_canonical(void)
{
	static const struct
	{
		const char *secret;
		bool		is_standard;
		const char *name;
	}			cases[] = {
		{"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", true, "24 bytes"},
		{"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", false, "23 bytes"},
		{"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==", true, "25 bytes"},
		{"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", true, "26 bytes"},
		{"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB==", false,
		"unused bits after one byte"},
		{"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=", false,
		"unused bits after two bytes"},
		{"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", false, "no padding"},
		{"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA===", false,
		"three padding characters"},
		{"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=A", false,
		"padding inside"},
		{"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA-", false, "URL-safe digit"},
		{"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n", false, "line feed"},
		{"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\xc3", false, "not ASCII"},
		{" whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", false, "leading space"},
		{"WHSEC_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", false, "upper case"},
		{"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", false, "no prefix"},
		{"whsec_", false, "prefix only"}, {"whsec", false, "part of it"},
		{"whsec_====", false, "padding only"}, {"", false, "empty"}
	};

	for (size_t i = 0; i < lengthof(cases); i++)
		check(wh_sign_secret_is_standard(cases[i].secret) ==
			  cases[i].is_standard, "standard secret, %s: %s", cases[i].name,
			  cases[i].is_standard ? "yes" : "no");
}

/* OpenSSL's encoder as the judge of our decoder */
static void
standard_secrets_of_every_length(void)
{
	unsigned char bytes[70];
	char		secret[128] = "whsec_";
	int			wrong = 0;

	for (int length = 1; length <= (int) sizeof(bytes); length++)
	{
		for (int i = 0; i < length; i++)
			bytes[i] = (unsigned char) (i * 37 + length * 11 + 0xf8);
		EVP_EncodeBlock((unsigned char *) secret + 6, bytes, length);
		wrong += wh_sign_secret_is_standard(secret) !=
			(length >= 24 && length <= 64);
	}
	check(wrong == 0, "24 to 64 bytes, and no other number, are standard");
}

static void
any_text_is_a_secret(void)
{
	SigningKey *key = make_key("");
	char		signature[WH_SIGN_BODY_SIZE];

	/* HMAC_SHA256("", ""), as in the examples of Wikipedia's "HMAC" */
	check(wh_sign_body(key, NULL, 0, signature) &&
		  strcmp(signature, "sha256=b613679a0814d9ec772f95d778c35fc5"
				 "ff1697c493715653c6c712144292c5ad") == 0,
		  "an empty secret signs an empty body");
	wh_sign_key_free(key);
	wh_sign_key_free(NULL);
	check(true, "freeing no key is fine");
}

/* RFC 4231, test case 6: a key of 131 bytes, longer than the block */
static void
long_secret(void)
{
	static const char body[] =
	"Test Using Larger Than Block-Size Key - Hash Key First";
	char		secret[132];
	char		signature[WH_SIGN_BODY_SIZE];
	SigningKey *key;

	memset(secret, 0xaa, 131);
	secret[131] = '\0';
	key = make_key(secret);
	check(wh_sign_body(key, body, strlen(body), signature) &&
		  strcmp(signature, "sha256=60e431591ee0b67f0d8a26aacbf5b77f"
				 "8e0bc6213728c5140546040f0ee37f54") == 0,
		  "a secret longer than the hash block");
	wh_sign_key_free(key);
}

static void
keys_can_be_used_again(void)
{
	SigningKey *key = make_key(standard_secret);
	char		first[WH_SIGN_STANDARD_SIZE];
	char		again[WH_SIGN_STANDARD_SIZE];
	char		body[WH_SIGN_BODY_SIZE];
	bool		is_done;

	is_done = wh_sign_standard(key, "a", "1", "x", 1, first) &&
		wh_sign_body(key, "x", 1, body) &&
		wh_sign_standard(key, "b", "2", "y", 1, again) &&
		strcmp(first, again) != 0 &&
		wh_sign_standard(key, "a", "1", "x", 1, again);
	check(is_done && strcmp(first, again) == 0,
		  "a signature does not depend on earlier ones");
	check(wh_sign_body(key, "a\0b", 3, body) &&
		  !wh_sign_verify_body(key, "a\0c", 3, body),
		  "bytes after a NUL are signed");
	wh_sign_key_free(key);
}

static void
verify_wants_the_exact_signature(void)
{
	SigningKey *key = make_key("your-webhook-secret");
	SigningKey *other = make_key("another-webhook-secret");
	char		signature[WH_SIGN_BODY_SIZE + 1];
	int			accepted = 0;

	wh_sign_body(key, "{}", 2, signature);
	check(wh_sign_verify_body(key, "{}", 2, signature), "verify: right");
	check(!wh_sign_verify_body(key, "{ }", 3, signature), "verify: body");
	check(!wh_sign_verify_body(other, "{}", 2, signature), "verify: secret");
	check(!wh_sign_verify_body(key, "{}", 2, ""), "verify: empty");
	check(!wh_sign_verify_body(key, "{}", 2, signature + 7),
		  "verify: no prefix");
	for (int i = 0; i < WH_SIGN_BODY_SIZE - 1; i++)
	{
		signature[i] ^= 1;
		accepted += wh_sign_verify_body(key, "{}", 2, signature);
		signature[i] ^= 1;
	}
	check(accepted == 0, "verify: each byte counts");
	strcat(signature, "0");
	check(!wh_sign_verify_body(key, "{}", 2, signature), "verify: too long");
	signature[WH_SIGN_BODY_SIZE - 2] = '\0';
	check(!wh_sign_verify_body(key, "{}", 2, signature), "verify: too short");
	wh_sign_key_free(key);
	wh_sign_key_free(other);
}

int
main(int argc, char **argv)
{
	if (argc != 2)
	{
		fprintf(stderr, "usage: sign_test signing.tsv\n");
		return 2;
	}
	check_vectors(argv[1]);
	check(tests == 14, "the vectors were read");
	standard_secrets_are_canonical();
	standard_secrets_of_every_length();
	any_text_is_a_secret();
	long_secret();
	keys_can_be_used_again();
	verify_wants_the_exact_signature();
	printf("1..%d\n", tests);
	return failures > 0;
}
