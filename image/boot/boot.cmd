# Chooses one of two systems. Each has three tries; a system that confirms itself gets them back (rauc status mark-good).
# BOOT_ORDER, BOOT_A_LEFT and BOOT_B_LEFT are in the first sector of the partition `env`, where RAUC finds them too
# (/etc/fw_env.config). One sector is written whole or not at all, so a power cut leaves the old or the new state.
setenv BOOT_ORDER "A B"
setenv BOOT_A_LEFT 3
setenv BOOT_B_LEFT 3
part start ${devtype} ${devnum} env env_start
${devtype} dev ${devnum}
${devtype} read ${pxefile_addr_r} ${env_start} 1
env import -c ${pxefile_addr_r} 200 BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT || echo "boot state unreadable: starting from scratch"

setenv slot
for candidate in ${BOOT_ORDER}; do
  if test -n "${slot}"; then
    true
  elif test "${candidate}" = "A"; then
    if test ${BOOT_A_LEFT} -gt 0; then
      setexpr BOOT_A_LEFT ${BOOT_A_LEFT} - 1
      setenv slot A
      setenv root root-a
    fi
  elif test "${candidate}" = "B"; then
    if test ${BOOT_B_LEFT} -gt 0; then
      setexpr BOOT_B_LEFT ${BOOT_B_LEFT} - 1
      setenv slot B
      setenv root root-b
    fi
  fi
done
if test -z "${slot}"; then
  echo "no system has tries left: both get three more"
  setenv BOOT_A_LEFT 3
  setenv BOOT_B_LEFT 3
fi
mw.b ${pxefile_addr_r} 0 200
env export -c -s 0x200 ${pxefile_addr_r} BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT
${devtype} write ${pxefile_addr_r} ${env_start} 1
if test -z "${slot}"; then
  reset
fi

# The motor bus is on the serial port, so the console is the screen; on the emulated board it is the port.
setenv console console=tty1
setenv tuning "@TUNING@"
if test "${board}" = "qemu-arm"; then
  setenv console console=ttyAMA0
  setenv tuning
fi
setenv bootargs "root=PARTLABEL=${root} ro rootwait panic=10 fsck.repair=yes ${console} rauc.slot=${slot} quiet ${tuning}"
part number ${devtype} ${devnum} ${root} part
echo "system ${slot}, tries left: A ${BOOT_A_LEFT}, B ${BOOT_B_LEFT}"
if load ${devtype} ${devnum}:${part} ${kernel_addr_r} /boot/vmlinuz; then
  if load ${devtype} ${devnum}:${part} ${ramdisk_addr_r} /boot/initrd.img; then
    booti ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${fdt_addr}
  fi
fi
echo "system ${slot} cannot be loaded"
reset
