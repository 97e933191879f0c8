# webhook.report(): one page that says what is in the log, and nothing that came
# from outside is more than text in it.

use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my $t = Webhook->new('report');
my $evil = q(<script>alert("1")</script><img src=x onerror='alert(2)'>&amp;);
my $quoted = $evil =~ s/'/''/gr;

# The page as a parser of HTML sees it: elements that are not ours, and its text.
sub parsed
{
	my ($page) = @_;
	my ($output, $complaint) = ('', '');

	IPC::Run::run([ 'python3', '-c', <<'END' ], '<', \$page, '>', \$output, '2>', \$complaint);
import html.parser, sys
known = set("html head meta title style body main h1 h2 p div span i svg line rect polyline circle text table tr th td code br footer".split())
open_ones, text, odd = [], [], set()
class Parser(html.parser.HTMLParser):
    def handle_starttag(self, tag, attributes):
        if tag not in known: odd.add(tag)
        for name, value in attributes:
            if name.startswith("on") or name in ("href", "src"): odd.add(name)
    def handle_data(self, data): text.append(data)
Parser().feed(sys.stdin.buffer.read().decode())
print("odd: " + " ".join(sorted(odd)))
print(" ".join(text))
END
	return $output . $complaint;
}

# an_empty_log
my $page = $t->sql('select webhook.report()');
like($page, qr/^<!DOCTYPE html>.*<\/html>$/s, 'a page about nothing');
like(parsed($page), qr/^odd: \n/, 'of known elements only');

# hostile_everything: names, URLs, answers, errors
$t->sql("select webhook.set_organization('org_1', '$quoted')");
$t->endpoint('/ok', name => "'$quoted'");
my $failing = $t->endpoint('/status/500', retry_schedule => "'{}'");
my $id = $t->emit;
$t->wait_until_done;
$t->sql("update webhook.attempt set response_body = '$quoted', error = '$quoted',
		url = 'https://x.example/' || '$quoted' where endpoint_id = $failing;
	set session_replication_role = replica;
	update webhook.endpoint set url = 'https://x.example/' || '$quoted' where id = $failing");
$page = $t->sql('select webhook.report()');
my $seen = parsed($page);
like($seen, qr/^odd: \n/, 'no markup of others becomes markup');
unlike($page, qr/<script|<img|onerror=['"]/, 'nor looks like it');
my $times = () = $seen =~ /\Q$evil\E/g;
cmp_ok($times, '>=', 6, "it is shown as text: $times times");
like($page, qr/default-src 'none'/, 'and a browser would load nothing');
unlike($page, qr{https?://(?!x\.example|127\.0\.0\.1)|url\(|\@import}, 'the page is complete in itself');

# the_figures_are_right
like($page, qr{events</div><div class="big">1<}, 'one event');
like($page, qr{attempts</div><div class="big">2<}, 'two attempts');
like($page, qr{succeeded</div><div class="big">50.0 %<}, 'half of them succeeded');
like($page, qr{deliveries failed</div><div class="big">1<}, 'one delivery failed');
like($page, qr{<circle class="p50"}, 'durations of one moment are a point');

# since_when
for my $since ("'7 days'", "interval '1 hour'", "now() - interval '1 hour'",
	"to_char(now() - interval '1 hour', 'YYYY-MM-DD HH24:MI')", 'since => \'10 minutes\'',
	"timestamptz '-infinity'", "'yesterday'", "'100 years'", "'1000000 years'")
{
	like($t->sql("select webhook.report($since)"), qr/attempts<\/div><div class="big">2</, "since $since");
}
like($t->sql("select webhook.report(now() + interval '1 minute')"),
	qr/attempts<\/div><div class="big">0</, 'nothing since then');
like($t->sql("select webhook.report('-1000000 years')"), qr/attempts<\/div><div class="big">0</, 'nor for a million years');
is($t->sql('select webhook.report(null::interval)'), '', 'nor of no time at all');
like($t->sql("select webhook.report(timestamptz 'infinity')"), qr/^<!DOCTYPE.*<\/html>$/s, 'nor at the end of days');
like($t->sql_error("select webhook.report('$_')"), qr/^22007: \Qinvalid time "$_" for a report/, "what is no time: '$_'")
  for 'yesterday evening', '', '2026-13-01';

# who_may_read_it
$t->sql("create role looker; select webhook.grant_access('looker', 'observer');
	create role nobody; create role tenant;
	select webhook.set_organization('org_2', 'Two');
	select webhook.grant_access('tenant', 'observer', 'org_2');");
like($t->sql('set role looker; select webhook.report()'), qr/big">2</, 'an observer');
like($t->sql('set role tenant; select webhook.report()'), qr/attempts<\/div><div class="big">0</,
	'who is bound to an organization sees what is of it');
like($t->sql_error('set role nobody; select webhook.report()'), qr/^42501/, 'and nobody else');

done_testing();
