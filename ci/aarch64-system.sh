#!/usr/bin/env bash
# Boots an arm64 kernel on an emulated machine, and runs the tests there: with the kernel's own epoll_pwait2, mprotect, signals,
# /proc, pidfds and scheduler, where ci/aarch64.sh has qemu-user's imitations of them.
#
#   ci/aarch64-system.sh                   unit and integration tests
#   ci/aarch64-system.sh stack_ net_tcp    those whose name contains one of these words
#   SECONDS_LIMIT=7200 ci/aarch64-system.sh    in two hours at most, instead of one
#
# Debian 12's arm64 kernel (6.1, so stacks get guards by mprotect), two processors, 3 GiB. All there is beside the kernel is an
# initial file system: busybox, the C library, and the stripped tests. Nothing leaves the machine: there is no network but `lo`.
#
# Not run here:
#   tidy, gevent_table, raw_table           they read the source tree, on any architecture the same
#   gevent_examples, file_server, hello_http   they build and start examples
#   documentation tests                     they are compiled one by one, by a compiler
#   what wants curl or postgres             says so and passes
# The emulation takes its memory order from the host, as qemu-user does.
#
# Wants what ci/aarch64.sh wants, and qemu-system-arm and cpio; the kernel (21 MB) and busybox come from Debian's mirrors and are kept
# below the target directory. Debian 12 on x86_64, root.
#
# The last line says what was run; a run without any test fails.
set -euo pipefail
cd "$(dirname "$0")/.."

left_out=(tidy gevent_table raw_table gevent_examples file_server hello_http)
limit=${SECONDS_LIMIT:-3600}
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target/aarch64}"
home="$CARGO_TARGET_DIR/system"
mkdir -p "$home"

paths=$(ci/aarch64.sh --binaries)

packages=(qemu-system-arm cpio)
if ! dpkg -s "${packages[@]}" >/dev/null 2>&1; then
    DEBIAN_FRONTEND=noninteractive \
        apt-get -qq install -y --no-install-recommends "${packages[@]}" >/dev/null
fi

# fetch PACKAGE PATH: one directory of an arm64 package, into $home.
fetch() {
    local packed
    packed=$(mktemp -d)
    (cd "$packed" && apt-get -qq -o APT::Sandbox::User=root download "$1")
    dpkg --fsys-tarfile "$packed"/*.deb | tar -x -C "$home" "$2"
    rm -r "$packed"
}
if ! compgen -G "$home/boot/vmlinuz-*" >/dev/null; then
    # What is asked for is an empty package, which depends on the present version.
    kernel=$(apt-cache depends linux-image-cloud-arm64:arm64 | awk '/Depends: linux-image/ { print $2; exit }')
    fetch "$kernel" ./boot
fi
[[ -x $home/bin/busybox ]] || fetch busybox-static:arm64 ./bin

# The initial file system.
root="$home/root"
rm -rf "$root"
mkdir -p "$root"/{bin,dev,etc,lib,proc,root,sys,tests,tmp,usr}
cp "$home/bin/busybox" "$root/bin/"
ln -s ../bin "$root/usr/bin"
cp /lib/ld-linux-aarch64.so.1 "$root/lib/"
cp -L /lib/aarch64-linux-gnu/{libc.so.6,libm.so.6,libgcc_s.so.1} "$root/lib/"
echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
echo 'root:x:0:' >"$root/etc/group"
printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts"
count=0
while read -r path; do
    name=$(basename "$path")
    name=${name%-*}
    [[ " ${left_out[*]} " != *" $name "* ]] || continue
    if (($#)); then
        wanted=
        for word; do [[ $name == *"$word"* ]] && wanted=1; done
        [[ $wanted ]] || continue
    fi
    # Function names stay: some tests read backtraces.
    aarch64-linux-gnu-strip --strip-debug -o "$root/tests/$name" "$path"
    count=$((count + 1))
done <<<"$paths"
if ((count == 0)); then
    echo "aarch64-system: no test binary has such a name: $*" >&2
    exit 1
fi

# The first process. Whatever it says goes to the console; its last words are what is looked for below.
cat >"$root/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp
ln -s /proc/self/fd /dev/fd
ln -s /proc/self/fd/0 /dev/stdin
ln -s /proc/self/fd/1 /dev/stdout
ln -s /proc/self/fd/2 /dev/stderr
hostname emulated
ip link set lo up
ulimit -n 65536
export RUSTLET_TEST_SLOWDOWN=10
cd /root
echo "system: Linux $(uname -r), $(nproc) processors"
passed=0
failed=0
for test in /tests/*; do
    name=${test##*/}
    began=$(cut -d. -f1 /proc/uptime)
    timeout -s KILL 900 "$test" </dev/null >/tmp/log 2>&1
    status=$?
    took=$(($(cut -d. -f1 /proc/uptime) - began))
    ok=$(awk '/^test result: / { print $4 }' /tmp/log)
    echo "system: $name: ${ok:-?} passed, $took s"
    passed=$((passed + ${ok:-0}))
    if [ $status != 0 ]; then
        failed=$((failed + 1))
        cat /tmp/log
        echo "system: $name failed, status $status"
    fi
done
echo "system: done, $passed passed, $failed failed"
poweroff -f
INIT
chmod +x "$root/init"
(cd "$root" && find . | cpio --quiet -o -H newc) >"$home/initrd"
rm -r "$root"

log="$home/log"
# No default devices: the network card's wants a ROM file that another package has.
timeout "$limit" qemu-system-aarch64 -M virt,gic-version=3 -cpu max,pauth-impdef=on -smp 2 -m 3072 \
    -nographic -nic none -no-reboot -kernel "$home"/boot/vmlinuz-* -initrd "$home/initrd" \
    -append 'console=ttyAMA0 quiet panic=-1' </dev/null 2>&1 | sed -u 's|\r$||' | tee "$log" || true
rm "$home/initrd"

read -r passed failed < <(awk '/^system: done/ { print $3, $5 }' "$log") || true
if [[ -z ${passed-} ]]; then
    echo "aarch64-system: the machine did not come to the end of the tests within $limit s" >&2
    exit 1
fi
kernel=$(awk '/^system: Linux/ { print $3; exit }' "$log")
if ((passed == 0 || failed > 0)); then
    echo "aarch64-system: $passed tests passed, $failed of $count binaries failed, Linux ${kernel%,}" >&2
    exit 1
fi
echo "aarch64-system: $passed tests passed in $count binaries, Linux ${kernel%,}"
