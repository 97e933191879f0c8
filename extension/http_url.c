/*
 * http_url.c
 *		What libcurl sends of a URL.
 *
 * Asked when an endpoint is loaded, so that the log can show the head of a
 * request as it was sent.
 */
#include <stdio.h>

#include <curl/curl.h>

#include "http.h"

bool
wh_http_split_url(const char *url, char *host, size_t host_size, char *target,
				  size_t target_size)
{
	CURLU	   *parsed = curl_url();
	char	   *name = NULL;
	char	   *port = NULL;
	char	   *path = NULL;
	char	   *query = NULL;
	bool		fits = false;

	if (parsed && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
		curl_url_get(parsed, CURLUPART_HOST, &name, 0) == CURLUE_OK &&
		curl_url_get(parsed, CURLUPART_PATH, &path, 0) == CURLUE_OK)
	{
		(void) curl_url_get(parsed, CURLUPART_PORT, &port,
							CURLU_NO_DEFAULT_PORT);
		(void) curl_url_get(parsed, CURLUPART_QUERY, &query, 0);
		fits = (size_t) snprintf(host, host_size, "%s%s%s", name,
								 port ? ":" : "", port ? port : "") < host_size &&
			(size_t) snprintf(target, target_size, "%s%s%s", path,
							  query ? "?" : "", query ? query : "") < target_size;
	}
	curl_free(name);
	curl_free(port);
	curl_free(path);
	curl_free(query);
	curl_url_cleanup(parsed);
	return fits;
}
