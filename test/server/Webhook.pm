# A server with webhook preloaded, and the receiver that it delivers to: what
# every test of this directory begins with.
#
#   my $t = Webhook->new('deliver', 'webhook.timeout = 5s');
#   my $endpoint = $t->endpoint('/status/500,200');
#   $t->emit;
#   my @requests = $t->wait_for_journal(2);
#
# Waiting is for a condition, with a time limit: $limit seconds.

package Webhook;

use strict;
use warnings;
use Cwd qw(abs_path);
use DBI ();
use FindBin;
use IPC::Run ();
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More ();
use Time::HiRes qw(time usleep);

our $limit = 30;

# Absolute: the worker stands in its data directory.
my $dir = abs_path(PostgreSQL::Test::Utils::tempdir);
my $tools = "$FindBin::RealBin/..";
my @processes;
my $current;

# Further lines are for postgresql.conf; they may repeat one of ours.
sub new
{
	my ($class, $name, @settings) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	system("sh $tools/make-certs $dir/certs") == 0
	  or die 'could not make certificates'
	  unless -e "$dir/certs/server.crt";
	$node->init;
	$node->append_conf(
		'postgresql.conf',
		join "\n",
		"shared_preload_libraries = 'webhook'",
		"webhook.ca_file = '$dir/certs/ca.crt'",
		"webhook.allow_addresses = '127.0.0.0/8'",
		"max_prepared_transactions = 10",
		"restart_after_crash = on",
		"log_statement = none",
		@settings);
	$node->start;

	my $self = bless { node => $node }, $class;
	$current = $self;
	$self->{receiver} = start_receiver();
	$self->install('postgres');
	return $self;
}

sub node { return $_[0]{node} }
sub receiver { return $_[0]{receiver} }

# The extension and an organization.
sub install
{
	my ($self, $database) = @_;

	$self->sql(
		"create extension webhook;
		 select webhook.set_organization('org_1', 'Organization One');",
		$database);
}

# In a session of its own, what psql -At prints.  A select needs no psql, which
# would take four times as long.
sub sql
{
	my ($self, $text, $database) = @_;

	return $self->connect($database)->($text) if $text =~ /^\s*select\b[^;]*;?\s*$/i;
	return $self->{node}->safe_psql($database // 'postgres', $text);
}

# A session, as code that returns what a query gives; it ends with the code.
sub connect
{
	my ($self, $database) = @_;
	local @ENV{qw(PGHOST PGPORT PGDATABASE)} =
	  ($self->{node}->host, $self->{node}->port, $database // 'postgres');
	my $session = DBI->connect('dbi:Pg:', '', '',
		{ RaiseError => 1, PrintError => 0, PrintWarn => 0, AutoInactiveDestroy => 1,
			pg_enable_utf8 => 0, pg_bool_tf => 1, pg_expand_array => 0 });

	return sub {
		my $rows = $session->selectall_arrayref($_[0], { pg_direct => 1 });

		return join "\n", map { join '|', map { $_ // '' } @$_ } @$rows;
	};
}

# What a statement fails with: "SQLSTATE message".
sub sql_error
{
	my ($self, $text, $database) = @_;
	my ($status, undef, $stderr) = $self->{node}->psql($database // 'postgres',
		"\\set VERBOSITY verbose\n$text");

	return $stderr =~ /(?:ERROR|FATAL):\s+(.*)/ ? $1 : "no error: $stderr";
}

sub session
{
	my ($self, $database) = @_;

	return $self->{node}->background_psql($database // 'postgres');
}

# Make an endpoint whose URL is a path of our receiver, or a whole one; more
# arguments of create_endpoint are SQL.  Returns its id; the receiver knows
# its secret.
sub endpoint
{
	my ($self, $url, %arguments) = @_;
	my $database = delete $arguments{database};
	my $organization = delete $arguments{organization} // 'org_1';

	$url = $self->{receiver}->url($url) if $url =~ m{^/};
	my $more = join '', map { ", $_ => $arguments{$_}" } sort keys %arguments;
	my ($id, $secret) = split /\|/,
	  $self->sql(
		"select * from webhook.create_endpoint('$organization', '$url'$more)",
		$database);
	$self->{receiver}->trust($secret);
	return $id;
}

# Emit in a transaction of its own; the event's id.
sub emit
{
	my ($self, %options) = @_;
	my $type = $options{event} // 'review.completed';
	my $data = $options{data} // '{"review_id":"rev_1"}';
	my $organization = $options{organization} // 'org_1';

	return $self->sql(
		"select webhook.emit('$type', '$organization', '$data')",
		$options{database});
}

# Send one event to an URL that gets nothing else, once; the row of that
# attempt.
sub attempt_at
{
	my ($self, $url, %arguments) = @_;
	my $organization = 'once_' . ++$self->{organizations};

	$self->sql("select webhook.set_organization('$organization', 'x')",
		$arguments{database});
	$self->endpoint($url, organization => $organization,
		retry_schedule => "'{}'", %arguments);
	my $event = $self->emit(organization => $organization,
		database => $arguments{database});
	$self->wait_for_sql("select exists (select from webhook.attempt
		where event_id = '$event')", $arguments{database});
	return ($self->rows(
			"select *, extract(epoch from duration) as took
			 from webhook.attempt where event_id = '$event'",
			$arguments{database}))[0];
}

sub wait_for_journal
{
	my ($self, @arguments) = @_;

	return $self->{receiver}->wait_for_journal(@arguments);
}

# Poll until a query says t; faster than the cluster's own, which is for
# conditions that take their time.
sub wait_for_sql
{
	my ($self, $query, $database, $seconds) = @_;

	my $ask;

	return wait_until($query, $seconds, sub {
		my $is_new = !$ask;
		my $answer = eval { ($ask //= $self->connect($database))->($query) };

		return $answer eq 't' if defined $answer;
		die $@ if $is_new;
		undef $ask;				# a restart, perhaps
		return 0;
	});
}

# The same, of a server that crashes meanwhile.  The query is an argument: psql
# may have ended before it reads any, and who writes to it then dies.
sub wait_through_crashes
{
	my ($self, $query, $seconds) = @_;
	my @psql = ('psql', '-XAtq', '-d', $self->{node}->connstr('postgres'), '-c', $query);

	return wait_until($query, $seconds, sub {
		my ($output) = PostgreSQL::Test::Utils::run_command(\@psql);

		return $output eq 't';
	});
}

# Nothing is waiting, queued or on the wire any more.
sub wait_until_done
{
	my ($self, $database, $seconds) = @_;

	$self->wait_for_sql(
		'select not exists (select from webhook.queue)
			and webhook._waiting_events() = 0', $database, $seconds);
}

sub worker_pids
{
	my ($self, $database) = @_;
	$database //= 'postgres';

	return split /\n/,
	  $self->sql(
		"select pid from pg_stat_activity where datname = '$database'
		 and backend_type = 'webhook worker' order by pid", 'template1');
}

# Wait until workers run in a database: one, unless told how many; their pids.
sub wait_for_workers
{
	my ($self, $count, $database) = @_;
	$count //= 1;

	$self->wait_for_sql(
		"select count(*) = $count and bool_and(state = 'running')
		 from webhook.status", $database);
	return $self->worker_pids($database);
}

# Change a setting in a running server.  Workers see a reload at their next
# turn; what must wait for it waits for its effect.
sub configure
{
	my ($self, $line) = @_;

	$self->{node}->append_conf('postgresql.conf', $line);
	$self->{node}->reload;
}

# The rows of a query as hashes.
sub rows
{
	my ($self, $query, $database) = @_;
	my $json = $self->sql(
		"select coalesce(json_agg(q), '[]') from ($query) q", $database);

	return @{ JSON::PP::decode_json($json) };
}

# Wait until the code returns something true, and return that; the test ends
# when the time is up.
sub wait_until
{
	my ($what, $seconds, $code) = @_;
	my $end = time + ($seconds // $limit);

	while (1)
	{
		my $result = $code->();
		return $result if $result;
		last if time > $end;
		usleep(10_000);
	}
	Test::More::fail("waited in vain for: $what");
	tell_state() if $current;
	exit 1;
}

# What may explain it.
sub tell_state
{
	for my $query ('select * from webhook.status',
		'select status, attempts, count(*), min(next_attempt_at)
		 from webhook.delivery group by 1, 2 order by 1, 2',
		'select * from webhook.cursor')
	{
		my (undef, $rows) = $current->{node}->psql('postgres', $query);
		Test::More::diag("$query\n$rows");
	}
}

sub start_receiver
{
	my (%options) = @_;

	return Webhook::Receiver->new(%options);
}

# Compile a library of test/preload that a server may be started with.
sub preload
{
	my ($name) = @_;
	my $library = "$dir/$name.so";

	PostgreSQL::Test::Utils::system_or_bail($ENV{CC} // 'gcc', '-shared',
		'-fPIC', '-O1', '-Wall', '-o', $library, "$tools/preload/$name.c", '-ldl');
	return $library;
}

# A port on which nobody listens.
sub refused_port
{
	return PostgreSQL::Test::Cluster::get_free_port();
}

END
{
	my $status = $?;

	$_->kill_kill(grace => 0) for @processes;
	$? = $status;
}

package Webhook::Receiver;

use PostgreSQL::Test::Utils;

my $count = 0;

# Options are those of test/receiver.py; a certificate is given by its name.
sub new
{
	my ($class, %options) = @_;
	my $home = "$dir/receiver" . $count++;
	my $certificate = delete $options{cert} // 'server';
	my @command = (
		'python3', "$tools/receiver.py",
		'--cert', "$dir/certs/$certificate.crt",
		'--key', "$dir/certs/server.key",
		'--ready-file', "$home.port",
		'--journal', "$home.journal",
		'--secret-file', "$home.secrets",
		map { $options{$_} eq '1' ? "--$_" : ("--$_", $options{$_}) }
		  sort keys %options);
	my $self = bless { home => $home, offset => 0, entries => [] }, $class;

	$self->{process} =
	  IPC::Run::start(\@command, '<', \undef, '>', "$home.log", '2>&1');
	push @processes, $self->{process};
	Webhook::wait_until('the receiver', 20, sub { -e "$home.port" })
	  or die slurp_file("$home.log");
	$self->{port} = slurp_file("$home.port") + 0;
	return $self;
}

sub url
{
	my ($self, $path, $host) = @_;

	return 'https://' . ($host // '127.0.0.1') . ":$self->{port}$path";
}

# Signatures with this secret are valid from now on; the newest comes first.
sub trust
{
	my ($self, $secret) = @_;

	return if !length($secret // '');
	my $known = -e "$self->{home}.secrets" ? slurp_file("$self->{home}.secrets") : '';
	open my $file, '>', "$self->{home}.secrets.new" or die $!;
	print $file "$secret\n$known";
	close $file;
	rename "$self->{home}.secrets.new", "$self->{home}.secrets" or die $!;
}

# Requests so far; all, or those to paths that match.
sub journal
{
	my ($self, $pattern) = @_;
	my @entries = $self->read_journal;

	@entries = grep { $_->{path} =~ $pattern } @entries if defined $pattern;
	return @entries;
}

# What is new in the file, as far as its lines are complete, joins what is
# known.
sub read_journal
{
	my ($self) = @_;

	if (open my $file, '<:raw', "$self->{home}.journal")
	{
		seek $file, $self->{offset}, 0;
		while (my $line = <$file>)
		{
			last if $line !~ /\n\z/;
			$self->{offset} += length $line;
			push @{ $self->{entries} }, JSON::PP::decode_json($line);
		}
	}
	return @{ $self->{entries} };
}

# Wait until there are so many requests, and return them.
sub wait_for_journal
{
	my ($self, $number, $pattern, $seconds) = @_;

	Webhook::wait_until(
		"$number requests" . (defined $pattern ? " to $pattern" : ''),
		$seconds,
		sub { $self->journal($pattern) >= $number });
	return $self->journal($pattern);
}

# How often each event id arrived, as a hash.
sub arrivals
{
	my ($self, $pattern) = @_;
	my %times;

	$times{ $_->{id} }++ for $self->journal($pattern);
	return %times;
}

# How often each delivery, as "path id", arrived from an offset of the journal on;
# a reference to a hash.
sub arrived_since
{
	my ($self, $offset) = @_;
	my @journal = $self->journal;
	my %times;

	$times{"$_->{path} $_->{id}"}++ for @journal[ $offset .. $#journal ];
	return \%times;
}

# Put a recorder in front, which clients reach from now on; the file of what they
# send.
sub record
{
	my ($self) = @_;
	my $home = "$self->{home}.recorder";

	push @processes,
	  IPC::Run::start(
		[ 'python3', "$tools/recorder.py", $self->{port}, "$home.port", "$home.bytes" ],
		'<', \undef, '>', "$home.log", '2>&1');
	Webhook::wait_until('the recorder', 20, sub { -e "$home.port" });
	$self->{port} = slurp_file("$home.port") + 0;
	return "$home.bytes";
}

sub stop
{
	my ($self) = @_;

	$self->{process}->kill_kill(grace => 0);
	@processes = grep { $_ != $self->{process} } @processes;
}

1;
