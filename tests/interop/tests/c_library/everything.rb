# Calls the node device functions of ruby-libvirt, and some whose functions of libvirt only fail, and prints what comes of
# it in a stable order.
#
# usage: everything.rb URI
require 'libvirt'

FIELDS = %i[libvirt_code libvirt_component libvirt_level libvirt_function_name libvirt_message message].freeze

# Prints what a call gives, or every field of its error.
def attempt(what)
  result = yield
  shown = result.is_a?(Array) ? result.map { |each| each.respond_to?(:name) ? each.name : each }.sort : result
  shown = shown.name if shown.respond_to?(:name)
  puts "#{what} -> #{shown.inspect}"
rescue Libvirt::Error => error
  puts "#{what} -> #{error.class} #{FIELDS.map { |field| error.send(field).inspect }.join(' ')}"
rescue ArgumentError => error
  puts "#{what} -> #{error.message}"
end

attempt('version') { Libvirt.version.map { |version| [version.major, version.minor, version.release].join('.') } }
attempt('no such driver') { Libvirt.open('nosuch:///') }
connection = Libvirt.open(ARGV[0])
reader = Libvirt.open_read_only(ARGV[0])
%i[type uri libversion secure? encrypted? alive? max_vcpus num_of_domains list_networks].each do |method|
  attempt(method) { connection.send(method) } if connection.respond_to?(method)
end
[nil, 'pci', 'net', 'nosuch'].each do |capability|
  attempt("num_of_nodedevices #{capability}") { connection.num_of_nodedevices(capability) }
  attempt("list_nodedevices #{capability}") { connection.list_nodedevices(capability) }
end
attempt('flags') { connection.list_nodedevices(nil, 1) }
[0, 1, 2, 16, 1 << 24, 1 << 30].each do |flags|
  attempt("list_all_nodedevices #{flags}") { connection.list_all_nodedevices(flags) }
end
attempt('nosuch') { connection.lookup_nodedevice_by_name('nosuch') }
attempt('create') { connection.create_nodedevice_xml('<device/>') }
attempt('create read-only') { reader.create_nodedevice_xml('<device/>') }
names = connection.list_nodedevices.sort
names.each_slice([1, names.length / 40].max).map(&:first).each do |name|
  device = connection.lookup_nodedevice_by_name(name)
  %i[name parent num_of_caps list_caps detach reattach reset].each do |method|
    attempt("#{name} #{method}") { device.send(method) }
  end
  attempt("#{name} xml") { device.xml_desc.length }
  attempt("#{name} flags") { device.xml_desc(2) }
  attempt("#{name} read-only") { reader.lookup_nodedevice_by_name(name).destroy }
  device.free
  attempt("#{name} freed") { device.name }
end
attempt('wwn') { connection.lookup_nodedevice_by_name(names[0]).lookup_scsi_host_by_wwn('0', '0') }
# A function of libvirt-qemu.so.0.
attempt('attach') { connection.domain_qemu_attach(1) } if connection.respond_to?(:domain_qemu_attach)
attempt('close') { connection.close }
attempt('closed') { connection.closed? }
attempt('after') { connection.list_nodedevices }
