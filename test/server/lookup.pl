# A name server that does not answer for some names costs the others nothing,
# and threads have an end.

use strict;
use warnings;
use List::Util qw(max);
use Namespace;
use PostgreSQL::Test::Utils;
use Test::More;
use Webhook;

my $dead = 1000;
my $healthy = 20;
my $rounds = 10;
my $most_threads = 64;
my $share = 48;					# of names that were never answered
my $slack = 0.1;				# seconds, for a machine with other work

# The limits of a worker are the default ones: there are twice as many dead
# endpoints as places.
my $t = Webhook->new('lookup', "webhook.retry_schedule = ''");
Namespace::serve_names(
	{ '*.example.test' => 'A 127.0.0.1', '*.dead.test' => 'silent' });
my ($pid) = $t->wait_for_workers;

sub make_endpoints
{
	my ($organization, $count, $name, $path, $timeout) = @_;
	my $url = $t->receiver->url($path, "$organization'|| n ||'.$name.test");

	$t->sql("select webhook.set_organization('$organization', 'x');
		select count(webhook.create_endpoint('$organization',
			'$url', timeout => '$timeout'))
		from generate_series(1, $count) n");
}

# Threads of the worker, beside the first; newer versions of libcurl have two for
# a look-up, which stay for some time when it is over.
my ($major, $minor) = split /\./, $t->sql('select libcurl from webhook.version()');
my $for_each = $major * 100 + $minor < 820 ? 1 : 2;
$share = $most_threads if $for_each == 2;

sub threads
{
	return int(((stat "/proc/$pid/task")[3] - 3 + $for_each - 1) / $for_each);
}

# From an event for endpoints that had none before, to the last of them; each of
# their names is looked up for the first time.
sub first_latency
{
	my ($organization) = @_;
	my $known = $t->receiver->journal;
	my $event;

	make_endpoints($organization, $healthy, 'example', '/last', '10s');
	$event = $t->emit(organization => $organization);
	my @requests = $t->wait_for_journal($known + $healthy);
	my $at = $t->sql("select extract(epoch from created_at)
		from webhook.event where id = '$event'");

	return max map { $_->{time} - $at } grep { $_->{id} eq $event } @requests;
}

# Emit to the healthy, one event after the other; the median of the times from
# there to the receiver, of which each took a look-up.  In a storm the dead have
# something to do all the while.
sub median_latency
{
	my ($is_storm) = @_;
	my $known = $t->receiver->journal;
	my @latencies;

	for my $round (1 .. $rounds)
	{
		$t->emit(organization => 'dead') if $is_storm && dead_left() < $dead / 2;
		my $event = $t->emit(organization => 'healthy');
		my @requests = $t->wait_for_journal($known + $round * $healthy);
		my $at = $t->sql("select extract(epoch from created_at)
			from webhook.event where id = '$event'");

		push @latencies,
		  map { $_->{time} - $at } grep { $_->{id} eq $event } @requests;
	}
	@latencies = sort { $a <=> $b } @latencies;
	return $latencies[ @latencies / 2 ];
}

sub dead_left
{
	return $t->sql("select count(*) from webhook.queue q
		join webhook.endpoint e on e.id = q.endpoint_id
		where e.organization_id = 'dead'");
}

# given endpoints that are served, each over a connection of its own
make_endpoints('healthy', $healthy, 'example', '/last', '10s');
make_endpoints('dead', $dead, 'dead', '/last', '3s');
median_latency();
my $alone = median_latency();
my $first = first_latency('early');

# when a thousand others have a name that nobody answers for
$t->emit(organization => 'dead');
Webhook::wait_until('look-ups', 30, sub { threads() > 30 });
Webhook::wait_until('places to be taken', 30, sub {
	$t->sql("select in_flight > 200 from webhook.status") eq 't' });
my $first_beside = first_latency('late');
my $beside = median_latency('storm');
my $busy = threads();

# then
note sprintf 'median latency: %.1f ms alone, %.1f ms beside dead names', $alone * 1000,
  $beside * 1000;
cmp_ok($busy, '>', 10, "the dead names were looked up all the while ($busy threads)");
cmp_ok($busy, '<=', $share, 'and left some for names that are answered');
cmp_ok($beside, '<', 2 * $alone + $slack, 'which are as fast as before');
note sprintf 'new names: %.1f ms alone, %.1f ms beside dead ones', $first * 1000,
  $first_beside * 1000;
cmp_ok($first_beside, '<', 2 * $first + $slack, 'and so are names that are new');
my $most = 0;
Webhook::wait_until('the dead to end', 120,
	sub { $most = max($most, threads()); dead_left() == 0 });
cmp_ok($most, '<=', $most_threads, "there were at most $most_threads threads ($most)");
is($t->sql("select bool_and(error_class in ('dns', 'timeout')),
		max(duration) < '4s' from webhook.attempt where organization_id = 'dead'"),
	't|t', 'each attempt failed in its time');
is($t->sql("select count(*) from webhook.attempt where organization_id = 'healthy'
		and error is not null"), 0, 'none of the others did');

# threads_end, when the C library gives up
Webhook::wait_until('threads to end', 60, sub { threads() == 0 });
is(threads(), 0, 'no thread is left');
is(($t->worker_pids)[0], $pid, 'the worker is the same');

# what_was_sent_waits_for_no_look_up: a connection that served others breaks, and
# libcurl would dial again, while every thread has something to do.
my %names = ('*.example.test' => 'A 127.0.0.1');
Namespace::serve_names({ %names, '*.fading.test' => 'A 127.0.0.1' });
make_endpoints('fading', $most_threads + 6, 'fading', '/last', '4s');
$t->emit(organization => 'fading');
$t->wait_until_done;
for my $path ('/ok?opening', '/close?broken')
{
	my $organization = $path =~ s/.*\?//r;

	$t->sql("select webhook.set_organization('$organization', 'x')");
	$t->endpoint($t->receiver->url($path, 'used.example.test'),
		organization => $organization, timeout => "'30s'");
}
$t->emit(organization => 'opening');
$t->wait_until_done;
Namespace::serve_names({ %names, '*.fading.test' => 'silent' });
$t->emit(organization => 'fading');
Webhook::wait_until('no thread to be left', 30, sub { threads() >= $most_threads });
my $broken = $t->emit(organization => 'broken');
$t->wait_until_done;
is(scalar($t->receiver->journal(qr/broken/)), 1, 'an attempt is one request, here too');
is($t->sql("select error_class, error, duration < '4s' from webhook.attempt
		where event_id = '$broken'"),
	'protocol|the receiver closed the connection without an answer|t', 'which is over at once');

# who_waits_behind_the_patient_gives_up_in_time
Webhook::wait_until('threads to end', 60, sub { threads() == 0 });
Namespace::serve_names({ '*.dead.test' => 'silent' });
make_endpoints('patient', $most_threads + 6, 'dead', '/last', '25s');
my $hasty = $t->endpoint($t->receiver->url('/last', 'hasty.dead.test'),
	organization => 'patient', timeout => "'1s'", events => "'{team.member_added}'");
$t->emit(organization => 'patient');
Webhook::wait_until('no place to be left for one organization', 30, sub { threads() >= 36 });
my $start = time;
$t->emit(organization => 'patient', event => 'team.member_added');
$t->wait_for_sql("select exists (select from webhook.attempt where endpoint_id = $hasty)");
cmp_ok(time - $start, '<', 6, 'who has less time does not wait for those before it');
is($t->sql("select error_class, duration < '3s' from webhook.attempt where endpoint_id = $hasty"),
	'dns|t', 'and its name was not looked up');

done_testing();
