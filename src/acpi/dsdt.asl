/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dsdt.asl - what is the same in every machine (ACPI 6.4, PCI Firmware Specification 3.3).
 *
 * What differs between machines (windows, interrupt routing, ports with hot plug) is in the SSDT that
 * ssdt.c writes; the External names below are its side of the contract.
 */
DefinitionBlock ("", "DSDT", 2, "PRTCLS", "PORTCULL", 1)
{
	External (\_SB.PCI0.BUSX, IntObj)         // last bus number
	External (\_SB.PCI0.IOMN, IntObj)         // I/O window, inclusive
	External (\_SB.PCI0.IOMX, IntObj)
	External (\_SB.PCI0.M3MN, IntObj)         // 32-bit window, inclusive
	External (\_SB.PCI0.M3MX, IntObj)
	External (\_SB.PCI0.M6MN, IntObj)         // 64-bit window, inclusive; M6MX 0: none
	External (\_SB.PCI0.M6MX, IntObj)
	External (\_SB.PCI0.NATV, IntObj)         // 1: native PCIe hot plug
	External (\_SB.PCI0.PSVC, MethodObj)      // serves one port: (devfn), returns 0 if unknown

	// SLP_TYP 5, written to the sleep control register, is power off (acpi.h).
	Name (\_S5, Package () { 5, 0, 0, 0 })

	Scope (\_SB)
	{
		Device (PCI0)
		{
			Name (_HID, EisaId ("PNP0A08"))
			Name (_CID, EisaId ("PNP0A03"))
			Name (_SEG, 0)
			Name (_BBN, 0)
			Name (_UID, 0)

			Name (WIND, ResourceTemplate ()
			{
				WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
					0, 0, 0, 0, 0, , , WBUS)
				IO (Decode16, 0xcf8, 0xcf8, 1, 8)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
					0, 0, 0, 0, 0, , , WIO)
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed,
					NonCacheable, ReadWrite, 0, 0, 0, 0, 0, , , WM32)
			})
			Name (HIGH, ResourceTemplate ()
			{
				QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed,
					NonCacheable, ReadWrite, 0, 0, 0, 0, 0, , , WM64)
			})

			Method (_CRS, 0, Serialized)
			{
				CreateWordField (WIND, ^WBUS._MAX, BMAX)
				CreateWordField (WIND, ^WBUS._LEN, BLEN)
				BMAX = BUSX
				BLEN = BUSX + 1

				CreateWordField (WIND, ^WIO._MIN, IMIN)
				CreateWordField (WIND, ^WIO._MAX, IMAX)
				CreateWordField (WIND, ^WIO._LEN, ILEN)
				IMIN = IOMN
				IMAX = IOMX
				ILEN = IOMX - IOMN + 1

				CreateDWordField (WIND, ^WM32._MIN, LMIN)
				CreateDWordField (WIND, ^WM32._MAX, LMAX)
				CreateDWordField (WIND, ^WM32._LEN, LLEN)
				LMIN = M3MN
				LMAX = M3MX
				LLEN = M3MX - M3MN + 1

				If (M6MX == 0)
				{
					Return (WIND)
				}
				CreateQWordField (HIGH, ^WM64._MIN, HMIN)
				CreateQWordField (HIGH, ^WM64._MAX, HMAX)
				CreateQWordField (HIGH, ^WM64._LEN, HLEN)
				HMIN = M6MN
				HMAX = M6MX
				HLEN = M6MX - M6MN + 1
				Return (ConcatenateResTemplate (WIND, HIGH))
			}

			/*
			 * The operating system gets PME, AER, the PCIe capability and LTR, and native
			 * hot plug where the machine has it; never SHPC (there is none) or DPC.
			 */
			Method (_OSC, 4, Serialized)
			{
				CreateDWordField (Arg3, 0, CDW1)
				If (Arg0 != ToUUID ("33db4d5b-1ff7-401c-9657-7441c03dd766"))
				{
					CDW1 |= 0x04 // unknown UUID
					Return (Arg3)
				}
				CreateDWordField (Arg3, 8, CDW3)
				Local0 = CDW3 & 0x3c
				If (NATV)
				{
					Local0 = CDW3 & 0x3d
				}
				If (Arg1 != 1)
				{
					CDW1 |= 0x08 // unknown revision
				}
				If (CDW3 != Local0)
				{
					CDW1 |= 0x10 // some were refused
				}
				CDW3 = Local0
				Return (Arg3)
			}

			// Slot registers (acpi_slots.h). NEXT: lowest port with news, or all ones.
			OperationRegion (SLTR, SystemMemory, 0xfeb01000, 4)
			Field (SLTR, DWordAcc, NoLock, Preserve)
			{
				NEXT, 32
			}

			// Tells the operating system all that happened to the slots.
			Method (PSCN, 0, Serialized)
			{
				Local0 = NEXT
				While (Local0 < 256)
				{
					If (PSVC (Local0) == 0)
					{
						Break
					}
					Local0 = NEXT
				}
			}
		}

		// Claims what no other device does, so that nothing else is put there.
		Device (MRES)
		{
			Name (_HID, EisaId ("PNP0C02"))
			Name (_UID, 1)
			Name (_CRS, ResourceTemplate ()
			{
				Memory32Fixed (ReadWrite, 0xc0000000, 0x10000000) // ECAM
				Memory32Fixed (ReadWrite, 0xfeb00000, 0x00002000) // GED, slots
				IO (Decode16, 0x600, 0x600, 1, 2)                 // sleep registers
			})
		}

		Device (COM1)
		{
			Name (_HID, EisaId ("PNP0501"))
			Name (_UID, 1)
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x3f8, 0x3f8, 1, 8)
				IRQNoFlags () { 4 }
			})
		}

		Device (RTC0)
		{
			Name (_HID, EisaId ("PNP0B00"))
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x70, 0x70, 1, 2)
				IRQNoFlags () { 8 }
			})
		}

		Device (PWRB)
		{
			Name (_HID, EisaId ("PNP0C0C"))
		}

		// Reading the register tells which events wait, and clears them (devices.h).
		Device (GED0)
		{
			Name (_HID, "ACPI0013")
			Name (_UID, 0)
			Name (_CRS, ResourceTemplate ()
			{
				Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 9 }
			})
			OperationRegion (GEDR, SystemMemory, 0xfeb00000, 4)
			Field (GEDR, DWordAcc, NoLock, Preserve)
			{
				EVNT, 32
			}
			Method (_EVT, 1, Serialized)
			{
				Local0 = EVNT
				If (Local0 & 1)
				{
					Notify (PWRB, 0x80)
				}
				If (Local0 & 2)
				{
					\_SB.PCI0.PSCN ()
				}
			}
		}
	}
}
