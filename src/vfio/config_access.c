/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_access.c - the guest reads and writes config space.
 *
 * On the vCPU: our copy under the leaf lock, and pread/pwrite of the bytes the firewall opened.
 * Deferred: to the worker what needs a VFIO ioctl, an interrupt route or milliseconds; to main what
 * changes where BARs are decoded (the worker hands the request on when both are needed).
 */
#include <errno.h>

#include <linux/pci_regs.h>

#include <portcullis/log.h>

#include "device.h"

static uint32_t all_ones(unsigned size)
{
	return 0xffffffffu >> (32 - 8 * size);
}

static bool well_formed(unsigned offset, unsigned size)
{
	return (size == 1 || size == 2 || size == 4) && offset <= PCI_CONFIG_SIZE - size;
}

/*
 * Decode that a card lost to a reset of its own (a GPU's mode 1, tg3's core clock) shows: guests put
 * COMMAND back where they read another value than they saved.
 */
static uint32_t without_lost_decode(
	const struct vfio_pci *dev, unsigned offset, uint32_t value, uint32_t device)
{
	unsigned shift = 8 * (PCI_COMMAND - offset);

	return value & ~(vfio_device_decode_lost(dev, device >> shift) << shift);
}

uint32_t vfio_config_read(struct pci_function *fn, unsigned offset, unsigned size)
{
	struct vfio_pci *dev = fn->opaque;
	const bool command = offset <= PCI_COMMAND && offset + size > PCI_COMMAND;
	uint32_t live, value, device = 0;

	/*
	 * A device that was lost is not there: the guest's kernel passes it by. One that is being
	 * reset does not answer; nor may we ask it: see reset_prepare.c.
	 */
	if (!well_formed(offset, size) || vfio_device_absent(dev))
		return 0xffffffff;
	live = vfio_firewall_bits(dev->firewall.live, offset, size);
	if ((live || command) && vfio_device_read(dev, offset, size, &device))
		device = all_ones(size);
	pthread_mutex_lock(&fn->lock);
	value = pci_get(fn->config, offset, size);
	pthread_mutex_unlock(&fn->lock);
	if (command)
		value = without_lost_decode(dev, offset, value, device);
	return (value & ~live) | (device & live);
}

/* One naturally aligned piece, all of whose bytes have something to pass. */
static void pass_piece(struct vfio_pci *dev, unsigned offset, unsigned size, uint32_t value)
{
	uint32_t pass = vfio_firewall_bits(dev->firewall.pass, offset, size), now = 0;

	/*
	 * Bits that may not change keep their value. None of them is write-one-to-clear: the table
	 * opens such bits whole, or no bit of their byte.
	 */
	if (pass != all_ones(size)) {
		if (vfio_device_read(dev, offset, size, &now))
			return;
		value = (value & pass) | (now & ~pass);
	}
	if (vfio_device_write(dev, offset, size, value))
		log_guest("vfio-pci '%s': the device refused a config write at 0x%x",
			dev->options->device.id, offset);
}

/* Writing VPD is setting bit 15 of the address register: only reading, and only in one piece. */
static bool vpd_refused(const struct vfio_pci *dev, unsigned offset, unsigned size, uint32_t value)
{
	unsigned first = size, n = 0;

	for (unsigned i = 0; i < size; i++) {
		if (!(dev->firewall.effect[offset + i] & CAP_VPD))
			continue;
		if (first == size)
			first = i;
		n++;
	}
	return n && (n != 2 || value >> (8 * first + 15) & 1);
}

bool vfio_config_pass(struct vfio_pci *dev, unsigned offset, unsigned size, uint32_t value)
{
	const uint8_t *pass = dev->firewall.pass;
	bool any = false;

	if (vpd_refused(dev, offset, size, value))
		return false;
	for (unsigned i = 0; i < size;) {
		unsigned piece = 1;

		if (!pass[offset + i]) {
			i++;
			continue;
		}
		/* Grow to the largest aligned piece that is open throughout. */
		while (piece < 4 && i + 2 * piece <= size && (offset + i) % (2 * piece) == 0) {
			bool open = true;

			for (unsigned k = 0; k < 2 * piece; k++)
				open &= pass[offset + i + k] != 0;
			if (!open)
				break;
			piece *= 2;
		}
		pass_piece(dev, offset + i, piece, value >> (8 * i) & all_ones(piece));
		i += piece;
		any = true;
	}
	return any;
}

/* On main: the last part of an access. */
static void finish_main(struct io_request *request)
{
	struct vfio_pci *dev = request->opaque;
	struct pci_bus *bus = atomic_load(&dev->fn.bus);

	role_enter_main();
	if (bus) /* else it was unplugged meanwhile */
		pci_update_mappings(&dev->fn);
	if (request->arg & VFIO_DEFER_PREPARED)
		vfio_pci_reset_done(dev); /* memslots come back where a BAR is decoded still */
	if (bus)
		bus->sink->commit(bus->sink->opaque);
	io_complete(request);
	vfio_device_put(dev);
}

static void finish_worker(struct io_request *request);

/* On main: before a reset that the guest asked for; the worker goes on. */
static void finish_prepare(struct io_request *request)
{
	struct vfio_pci *dev = request->opaque;

	role_enter_main();
	vfio_pci_reset_prepare(dev);
	request->arg |= VFIO_DEFER_PREPARED;
	request->owner = dev->worker;
	request->finish = finish_worker;
	io_post(request);
}

static void hand_to_main(
	struct vfio_pci *dev, struct io_request *request, void (*finish)(struct io_request *))
{
	struct pci_bus *bus = atomic_load(&dev->fn.bus);

	if (!bus) { /* unplugged: nothing of it is mapped */
		io_complete(request);
		vfio_device_put(dev);
		return;
	}
	request->owner = bus->sink->main;
	request->finish = finish;
	io_post(request);
}

/*
 * The guest's own reset: as after power-on, config space included. Leaving D3hot is one as well,
 * but one that a driver may do many times a minute.
 */
static void guest_reset(struct vfio_pci *dev, bool power_cycle) ON_WORKER
{
	int ret;

	vfio_reset_wait(dev);
	vfio_irq_off(dev);
	ret = vfio_reset_running(dev, power_cycle, NULL);
	if (ret && !(power_cycle && ret == -ENOTTY))
		log_guest("vfio-pci '%s': the reset the guest asked for failed",
			dev->options->device.id);
	pci_function_reset(&dev->fn);
	vfio_config_sync(dev);
}

/* fn->lock held. */
static unsigned power_state(const struct vfio_pci *dev)
{
	unsigned pm = dev->firewall.pm;

	return pm ? dev->fn.config[pm + PCI_PM_CTRL] & PCI_PM_CTRL_STATE_MASK : 0;
}

static unsigned power_wanted(struct vfio_pci *dev)
{
	unsigned state;

	pthread_mutex_lock(&dev->fn.lock);
	state = power_state(dev);
	pthread_mutex_unlock(&dev->fn.lock);
	return state;
}

/* Does the change of power state that the guest asked for reset the function? */
static bool power_resets(struct vfio_pci *dev) ON_WORKER
{
	bool soft;

	if (dev->power != 3 || power_wanted(dev) != 0)
		return false;
	pthread_mutex_lock(&dev->fn.lock);
	soft = dev->fn.config[dev->firewall.pm + PCI_PM_CTRL] & PCI_PM_CTRL_NO_SOFT_RESET;
	pthread_mutex_unlock(&dev->fn.lock);
	return !soft;
}

void vfio_config_sync(struct vfio_pci *dev)
{
	uint32_t command;

	if (!dev->io || dev->fenced)
		return;
	pthread_mutex_lock(&dev->fn.lock);
	command = pci_get(dev->fn.config, PCI_COMMAND, 2);
	pthread_mutex_unlock(&dev->fn.lock);
	/* Interrupts first: the device must not send one before somebody listens. */
	vfio_irq_sync(dev);
	/* A function in D1..D3 does not master the bus. */
	vfio_device_command(dev, command & PCI_COMMAND_MASTER && !dev->power);
}

static bool writes_msi_flags(const struct vfio_pci *dev, unsigned offset, unsigned size)
{
	unsigned flags = dev->firewall.msi + PCI_MSI_FLAGS;

	return dev->firewall.msi && offset <= flags && offset + size > flags;
}

/* What the access asks for, of a device that is there. Returns what is left to do. */
static uint32_t carry_out(struct vfio_pci *dev, struct io_request *request) ON_WORKER
{
	uint32_t what = request->arg;
	bool flr = what & VFIO_DEFER_FLR, power_cycle = what & VFIO_DEFER_SYNC && power_resets(dev);

	if ((flr || power_cycle) && !(what & VFIO_DEFER_PREPARED))
		return VFIO_DEFER_PREPARE;
	if (what & VFIO_DEFER_PASS)
		vfio_config_pass(
			dev, (unsigned)request->offset, request->size, (uint32_t)request->data);
	if (what & VFIO_DEFER_ROM)
		vfio_rom_load(dev);
	if (flr || power_cycle) {
		guest_reset(dev, !flr);
		what |= VFIO_DEFER_MAIN;
	}
	if (what & VFIO_DEFER_SYNC) {
		dev->power = (uint8_t)power_wanted(dev);
		vfio_config_sync(dev);
		if (writes_msi_flags(dev, (unsigned)request->offset, request->size))
			vfio_msi_restore(dev);
	}
	return what;
}

static void finish_worker(struct io_request *request)
{
	struct vfio_pci *dev = request->opaque;
	uint32_t what = request->arg;

	role_enter_worker();
	if (dev->io && !dev->fenced)
		what = carry_out(dev, request);
	if (what & VFIO_DEFER_PREPARE) {
		hand_to_main(dev, request, finish_prepare);
	} else if (what & (VFIO_DEFER_MAIN | VFIO_DEFER_PREPARED)) {
		hand_to_main(dev, request, finish_main);
	} else {
		io_complete(request);
		vfio_device_put(dev);
	}
}

/*
 * Header registers that guests write without meaning harm: BARs are sized by writing all ones, and
 * the others share their dword with reserved bits.
 */
static bool innocent(unsigned offset)
{
	static const uint8_t constant[] = { PCI_VENDOR_ID, PCI_CLASS_REVISION, PCI_CARDBUS_CIS,
		PCI_SUBSYSTEM_VENDOR_ID, PCI_CAPABILITY_LIST };

	for (unsigned i = 0; i < sizeof(constant); i++)
		if ((offset & ~3u) == constant[i])
			return false;
	return offset < 0x40;
}

/* Would the write have changed something that it may not? */
static bool denied(
	const struct vfio_pci *dev, unsigned offset, unsigned size, uint32_t value, uint32_t now)
{
	uint32_t live = vfio_firewall_bits(dev->firewall.live, offset, size);
	uint32_t open = vfio_firewall_bits(dev->fn.wmask, offset, size) |
			vfio_firewall_bits(dev->fn.w1cmask, offset, size) |
			vfio_firewall_bits(dev->firewall.pass, offset, size) |
			vfio_firewall_bits(dev->firewall.trigger, offset, size);

	if (innocent(offset))
		return false;
	return (value ^ now) & ~live & ~open || (live & ~open && !open);
}

/* What is to be done beyond our copy and the device's plain registers. */
static uint32_t effects(const struct vfio_pci *dev, unsigned offset, unsigned size, uint32_t value,
	uint32_t before, uint32_t after)
{
	const struct vfio_firewall *fw = &dev->firewall;
	uint32_t what = 0;

	for (unsigned i = 0; i < size; i++) {
		uint8_t effect = fw->effect[offset + i], byte = (uint8_t)(value >> (8 * i));

		if (effect & CAP_SLOW)
			what |= VFIO_DEFER_PASS;
		if (effect & CAP_FLR && byte & fw->trigger[offset + i])
			what |= VFIO_DEFER_FLR;
		if (effect & (CAP_IRQ | CAP_POWER) && (before ^ after) >> (8 * i) & 0xff)
			what |= VFIO_DEFER_SYNC;
	}
	/* Unchanged in our copy; the device may have lost it: without_lost_decode(). */
	if ((offset <= PCI_COMMAND && offset + size > PCI_COMMAND) ||
		writes_msi_flags(dev, offset, size))
		what |= VFIO_DEFER_SYNC;
	if (what & VFIO_DEFER_FLR && !vfio_reset_possible(dev))
		what &= ~(uint32_t)VFIO_DEFER_FLR;
	return what;
}

/* fn->lock held. The guest is about to look at the ROM for the first time. */
static bool rom_wanted(const struct vfio_pci *dev, unsigned offset, unsigned size)
{
	return offset < PCI_ROM_ADDRESS + 4 && offset + size > PCI_ROM_ADDRESS &&
	       dev->fn.config[PCI_ROM_ADDRESS] & PCI_ROM_ADDRESS_ENABLE &&
	       !atomic_load(&dev->rom.ready);
}

/* fn->lock held. A state the function does not have leaves it where it was (PCI PM 1.2, 3.2.4). */
static void check_power_state(struct vfio_pci *dev, unsigned was)
{
	unsigned now = power_state(dev), pm = dev->firewall.pm;
	uint32_t can = pm ? pci_get(dev->fn.config, pm + PCI_PM_PMC, 2) : 0;

	if ((now == 1 && !(can & PCI_PM_CAP_D1)) || (now == 2 && !(can & PCI_PM_CAP_D2)))
		dev->fn.config[pm + PCI_PM_CTRL] ^= (uint8_t)(now ^ was);
}

enum io_status vfio_config_write(
	struct pci_function *fn, unsigned offset, unsigned size, struct io_access *access)
{
	struct vfio_pci *dev = fn->opaque;
	uint32_t value = (uint32_t)access->data, before, after, what;
	struct pci_bus *bus = atomic_load(&fn->bus);
	struct io_access own;
	unsigned power;

	if (!well_formed(offset, size) || vfio_device_absent(dev))
		return IO_DONE;
	pthread_mutex_lock(&fn->lock);
	power = power_state(dev);
	before = pci_get(fn->config, offset, size);
	what = pci_config_apply(fn, offset, size, value) ? VFIO_DEFER_MAIN : 0;
	check_power_state(dev, power);
	after = pci_get(fn->config, offset, size);
	if (rom_wanted(dev, offset, size))
		what |= VFIO_DEFER_ROM;
	pthread_mutex_unlock(&fn->lock);
	if (denied(dev, offset, size, value, before) || vpd_refused(dev, offset, size, value))
		atomic_fetch_add_explicit(&dev->firewall.denied, 1, memory_order_relaxed);
	what |= effects(dev, offset, size, value, before, after);
	if (!(what & VFIO_DEFER_PASS))
		vfio_config_pass(dev, offset, size, value);
	if (!what)
		return IO_DONE;
	/* The access counts from wherever the caller's region starts: ours from the function. */
	own = (struct io_access){ .offset = offset,
		.data = value,
		.size = (uint8_t)size,
		.write = true,
		.request = access->request };
	if (what != VFIO_DEFER_MAIN)
		return vfio_defer(dev, &own, finish_worker, what);
	if (!bus)
		return IO_DONE; /* not plugged: nothing is mapped */
	vfio_device_get(dev);
	return io_defer(&own, bus->sink->main, finish_main, dev, 0);
}
