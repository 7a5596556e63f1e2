<?php
// Calls the node device functions of libvirt-php and prints what comes of it, in a stable order.
//
// usage: php -d extension=libvirt-php.so everything.php URI

// Prints what a call gives; the binding keeps the last error's text.
function attempt($what, $result)
{
    if (is_array($result)) {
        ksort($result);
        if (array_is_list($result)) {
            sort($result);
        }
    }
    echo $what, ' -> ', json_encode($result), ' ', json_encode(libvirt_get_last_error()), "\n";
}

attempt('version', libvirt_version());
attempt('no such driver', @libvirt_connect('nosuch:///', false));
// The second argument says whether it is read-only.
$connection = libvirt_connect($argv[1], false);
foreach (['uri', 'hypervisor', 'encrypted', 'secure', 'maxvcpus'] as $what) {
    attempt($what, @call_user_func("libvirt_connect_get_$what", $connection));
}
foreach ([null, 'pci', 'net', 'nosuch'] as $capability) {
    $list = $capability ? @libvirt_list_nodedevs($connection, $capability) : @libvirt_list_nodedevs($connection);
    attempt("list $capability", $list);
}
attempt('domains', @libvirt_list_domains($connection));
attempt('nosuch', @libvirt_nodedev_get($connection, 'nosuch'));
$names = libvirt_list_nodedevs($connection);
sort($names);
for ($i = 0; $i < count($names); $i += max(1, intdiv(count($names), 40))) {
    $device = libvirt_nodedev_get($connection, $names[$i]);
    attempt($names[$i], @libvirt_nodedev_capabilities($device));
    attempt($names[$i], strlen(@libvirt_nodedev_get_xml_desc($device)));
    attempt($names[$i], @libvirt_nodedev_get_information($device));
}
