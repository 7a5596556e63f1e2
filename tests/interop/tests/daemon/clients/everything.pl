# Calls the node device functions of Sys::Virt and prints what comes of it, in a stable order.
#
# usage: everything.pl URI
use strict;
use warnings;
use Sys::Virt;

my $connection = Sys::Virt->new(uri => $ARGV[0], readonly => 0);

sub attempt {
    my ($what, $function) = @_;
    my @result = eval { $function->() };
    if (my $error = $@) {
        die $error unless ref $error;
        printf "%s -> error %d %d %d %s\n", $what, $error->code, $error->domain, $error->level, $error->message;
        return;
    }
    print "$what -> ", join(" ", map { defined $_ ? $_ : "undef" } @result), "\n";
    return;
}

for my $capability (undef, "pci", "net", "nosuch") {
    my $shown = defined $capability ? $capability : "all";
    attempt("num_of_node_devices $shown", sub { $connection->num_of_node_devices($capability) });
    attempt("list_node_device_names $shown",
        sub { sort $connection->list_node_device_names($capability, 10000) });
    attempt("list_node_devices $shown", sub { sort map { $_->get_name } $connection->list_node_devices($capability) });
}
for my $flags (0, 1, 2, 16, 1 << 24, 1 << 30) {
    attempt("list_all_node_devices $flags",
        sub { sort map { $_->get_name } $connection->list_all_node_devices($flags) });
}
my @names = sort map { $_->get_name } $connection->list_all_node_devices;
for my $name (@names[0 .. ($#names < 20 ? $#names : 20)], "nosuch") {
    my $device = eval { $connection->get_node_device_by_name($name) };
    if (my $error = $@) {
        printf "lookup %s -> error %d %d %s\n", $name, $error->code, $error->domain, $error->message;
        next;
    }
    attempt("$name parent", sub { $device->get_parent });
    attempt("$name capabilities", sub { $device->list_capabilities });
    attempt("$name active", sub { $device->is_active });
    attempt("$name persistent", sub { $device->is_persistent });
    attempt("$name autostart", sub { $device->get_autostart });
    attempt("$name reset", sub { $device->reset });
    attempt("$name dettach", sub { $device->dettach(undef, 0) });
    attempt("$name reattach", sub { $device->reattach });
}
