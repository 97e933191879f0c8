-- Recording events.

create function webhook._origin() returns int
language c stable strict parallel safe as 'MODULE_PATHNAME', 'webhook_origin';
comment on function webhook._origin() is 'Internal: this installation, from the system identifier and the oids of the database and of webhook.event';

create function webhook.emit(event text, organization_id text, data text, idempotency_key text default null)
returns uuid language c volatile as 'MODULE_PATHNAME', 'webhook_emit_text';
comment on function webhook.emit(text, text, text, text) is
    'Record an event in the current transaction and return its id; data is the text of a JSON object, sent byte for byte. With an idempotency key that was used before: the first id, nothing recorded. Errors: NULL 22004, unknown event type or no object 22023, malformed JSON 22P02, unknown organization 23503, a key that is empty or longer than 255 characters 23514, no UTF-8 22021 or 22P05, too large 54000';

create function webhook.emit(event text, organization_id text, data json, idempotency_key text default null)
returns uuid language c volatile as 'MODULE_PATHNAME', 'webhook_emit_json';
comment on function webhook.emit(text, text, json, text) is
    'Record an event in the current transaction and return its id; data is a JSON object, sent byte for byte. Errors as with text data';

create function webhook.emit(event text, organization_id text, data jsonb, idempotency_key text default null)
returns uuid language c volatile as 'MODULE_PATHNAME', 'webhook_emit_jsonb';
comment on function webhook.emit(text, text, jsonb, text) is
    'Record an event in the current transaction and return its id; data is a JSON object, sent as the text output of jsonb. Errors as with text data';

create function webhook._record(event text, organization_id text, data json, is_test boolean)
returns uuid language c volatile strict as 'MODULE_PATHNAME', 'webhook_record';
comment on function webhook._record(text, text, json, boolean) is 'Internal: record an operational or a test event';
