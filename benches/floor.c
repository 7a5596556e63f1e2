/* The least that any program must ask the kernel to make an inventory of a host: what nodedev's times are held against.
 *
 *   floor LEVEL ROOT
 *
 * Level 0 finds the devices: it reads the directories of every bus and class, reads each entry's link, and drops those
 *         that another class has too.
 * Level 1 also reads each device's uevent file and its record in udev's database: what a list needs.
 * Level 2 also reads, of devices that libvirt shows, the attributes that their documents need.
 *
 * It keeps nothing but the paths, computes nothing and prints one line. One thread, directory descriptors, no stat.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct device {
	char *path;		/* below sys */
	const char *subsystem;
};

struct record {			/* of getdents64 */
	unsigned long inode;
	long offset;
	unsigned short length;
	unsigned char type;
	char name[];
};

static int sys_dir, udev_dir, level;
static struct device *devices;
static size_t count, room;
static unsigned long read_bytes, shown;

static const char *const passed_over[] = { "acpi", "tty", "vc", "i2c" };

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void *or_die(void *memory)
{
	if (!memory)
		die("memory");
	return memory;
}

/* Reads a file whole; returns the length, or -1. */
static long slurp(int dir, const char *name, char *buffer, size_t size)
{
	int file = openat(dir, name, O_RDONLY | O_CLOEXEC);
	long length;

	if (file < 0)
		return -1;
	length = read(file, buffer, size - 1);
	close(file);
	if (length < 0)
		length = 0;
	buffer[length] = 0;
	read_bytes += length;
	return length;
}

static void attributes(int dir, const char *const *names)
{
	static char buffer[65536];

	for (; *names; names++)
		slurp(dir, *names, buffer, sizeof buffer);
}

static int follow(int dir, const char *name)
{
	static char target[4096];

	return readlinkat(dir, name, target, sizeof target) >= 0;
}

/* Notes what the links in one directory lead to. */
static void collect(const char *place, const char *subsystem)
{
	static char buffer[1 << 18];
	char target[4096];
	long filled;
	int dir = openat(sys_dir, place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return;
	while ((filled = syscall(SYS_getdents64, dir, buffer, sizeof buffer)) > 0) {
		long at = 0;

		while (at < filled) {
			struct record *entry = (struct record *)(buffer + at);
			const char *path = target;
			long length;

			at += entry->length;
			if (entry->name[0] == '.')
				continue;
			length = readlinkat(dir, entry->name, target, sizeof target - 1);
			if (length < 0)
				continue;
			target[length] = 0;
			while (!strncmp(path, "../", 3))
				path += 3;
			if (count == room) {
				room = room ? 2 * room : 4096;
				devices = or_die(realloc(devices, room * sizeof *devices));
			}
			devices[count].path = or_die(strdup(path));
			devices[count].subsystem = subsystem;
			count++;
		}
	}
	close(dir);
}

static void collect_all(const char *top, const char *below)
{
	int dir = openat(sys_dir, top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = dir < 0 ? NULL : fdopendir(dir);
	struct dirent *entry;

	if (!stream)
		return;
	while ((entry = readdir(stream))) {
		char place[512];
		size_t i, skip = entry->d_name[0] == '.';

		for (i = 0; i < sizeof passed_over / sizeof *passed_over; i++)
			skip |= !strcmp(entry->d_name, passed_over[i]);
		if (skip)
			continue;
		snprintf(place, sizeof place, "%s/%s%s", top, entry->d_name, below);
		collect(place, or_die(strdup(entry->d_name)));
	}
	closedir(stream);
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct device *)a)->path, ((const struct device *)b)->path);
}

static const char *value(const char *uevent, const char *key)
{
	const char *at = strstr(uevent, key);

	return at ? at + strlen(key) : NULL;
}

static void describe_pci(int dir)
{
	static char config[258];
	static const char *const always[] = { "numa_node", NULL };
	int types;

	/* Vital product data belongs to endpoints of PCI Express: the capability is at 0x60 on a synthetic host. */
	if (slurp(dir, "config", config, sizeof config) > 0x62 && config[0x60] == 0x10 && !((unsigned char)config[0x62] >> 4)) {
		static const char *const vpd[] = { "vpd", NULL };

		attributes(dir, vpd);
	}
	attributes(dir, always);
	follow(dir, "iommu_group");
	if (!follow(dir, "physfn")) {
		char text[32];

		if (slurp(dir, "sriov_totalvfs", text, sizeof text) > 0) {
			int number = 0;

			do
				snprintf(text, sizeof text, "virtfn%d", number++);
			while (follow(dir, text));
		}
	}
	types = openat(dir, "mdev_supported_types", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (types >= 0)
		close(types);
}

static void describe_host(int dir, const char *name)
{
	static const char *const fabric[] = {
		"port_name", "node_name", "fabric_name", "max_npiv_vports", "npiv_vports_inuse", NULL
	};
	char path[256], text[64];
	int adapter;

	snprintf(path, sizeof path, "scsi_host/%s/unique_id", name);
	slurp(dir, path, text, sizeof text);
	snprintf(path, sizeof path, "fc_host/%s", name);
	adapter = openat(dir, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (adapter >= 0) {
		attributes(adapter, fabric);
		close(adapter);
	}
}

static void describe(int dir, const struct device *device, const char *name, const char *uevent)
{
	static const char *const net[] = { "address", "addr_len", "operstate", "speed", NULL };
	static const char *const disk[] = {
		"size", "queue/logical_block_size", "device/vendor", "device/model", "removable", NULL
	};
	static const char *const unit[] = { "type", NULL };
	static const char *const interface[] = {
		"bInterfaceNumber", "bInterfaceClass", "bInterfaceSubClass", "bInterfaceProtocol", NULL
	};
	const char *type = value(uevent, "DEVTYPE=");
#define IS(word) (type && !strncmp(type, word "\n", sizeof word))

	shown++;
	if (value(uevent, "PCI_CLASS="))
		describe_pci(dir);
	else if (!strcmp(device->subsystem, "net"))
		attributes(dir, net);
	else if (IS("disk"))
		attributes(dir, disk);
	else if (IS("scsi_device"))
		attributes(dir, unit);
	else if (IS("scsi_host"))
		describe_host(dir, name);
	else if (IS("scsi_target"))
		follow(dir, "../fc_remote_ports");
	else if (IS("usb_interface"))
		attributes(dir, interface);
	else if (!strcmp(device->subsystem, "mdev")) {
		follow(dir, "mdev_type");
		follow(dir, "iommu_group");
	} else if (!IS("usb_device") && !IS("drm_minor") && strcmp(device->subsystem, "scsi_generic"))
		shown--;
#undef IS
}

static void look_at(const struct device *device)
{
	static char uevent[65536], udev[65536];
	char record[512];
	const char *name = strrchr(device->path, '/'), *index, *major, *minor;
	int dir = openat(sys_dir, device->path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return;
	name = name ? name + 1 : device->path;
	if (slurp(dir, "uevent", uevent, sizeof uevent) < 0)
		uevent[0] = 0;
	index = value(uevent, "IFINDEX=");
	major = value(uevent, "MAJOR=");
	minor = value(uevent, "MINOR=");
	if (index)
		snprintf(record, sizeof record, "n%d", atoi(index));
	else if (major && minor)
		snprintf(record, sizeof record, "%c%d:%d", strcmp(device->subsystem, "block") ? 'c' : 'b', atoi(major), atoi(minor));
	else
		snprintf(record, sizeof record, "+%s:%s", device->subsystem, name);
	slurp(udev_dir, record, udev, sizeof udev);
	if (level > 1)
		describe(dir, device, name, uevent);
	close(dir);
}

int main(int arguments, char **argument)
{
	size_t i, kept = 0;
	int root;

	if (arguments != 3) {
		fprintf(stderr, "usage: floor LEVEL ROOT\n");
		return 2;
	}
	level = atoi(argument[1]);
	root = open(argument[2], O_PATH | O_DIRECTORY | O_CLOEXEC);
	sys_dir = openat(root, "sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
	udev_dir = openat(root, "run/udev/data", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (sys_dir < 0)
		die(argument[2]);
	collect_all("bus", "/devices");
	collect_all("class", "");
	qsort(devices, count, sizeof *devices, by_path);
	for (i = 0; i < count; i++)
		if (!kept || strcmp(devices[i].path, devices[kept - 1].path))
			devices[kept++] = devices[i];
	if (level > 0)
		for (i = 0; i < kept; i++)
			look_at(&devices[i]);
	printf("%zu devices, %lu described, %lu bytes\n", kept, shown, read_bytes);
	return 0;
}
