"""A FUSE file system of one file, "disk", for tests: FILE's bytes, but reads that touch START..END fail or never return.

usage: failing_filesystem.py MOUNTPOINT FILE START END eio|hang     needs root and /dev/fuse; prints "ready"; ends with
its stdin. A line "heal" on it makes the range readable, and answers what waits.
"""
import ctypes, errno, os, select, stat, struct, sys

mountpoint, path, start, end, how = sys.argv[1:]
start, end = int(start), int(end)
content = os.open(path, os.O_RDONLY)
size = os.fstat(content).st_size
waiting = []

fuse = os.open('/dev/fuse', os.O_RDWR)
libc = ctypes.CDLL(None, use_errno=True)
options = ('fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other' % fuse).encode()
if libc.mount(b'failing', mountpoint.encode(), b'fuse', 0, options) != 0:
    sys.exit('mount: ' + os.strerror(ctypes.get_errno()))


def attributes(inode):
    mode = stat.S_IFDIR | 0o555 if inode == 1 else stat.S_IFREG | 0o444
    length = 0 if inode == 1 else size
    return struct.pack('QQQQQQIIIIIIIIII', inode, length, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def answer(unique, body=b'', error=0):
    os.write(fuse, struct.pack('IiQ', 16 + len(body), -error, unique) + body)


def leave():
    libc.umount2(mountpoint.encode(), 2)
    sys.exit(0)  # closing /dev/fuse ends what still waits


print('ready', flush=True)
while True:
    readable, _, _ = select.select([fuse, 0], [], [])
    if 0 in readable:
        if not os.read(0, 100).startswith(b'heal'):
            leave()
        start = end = -1
        for unique, offset, length in waiting:
            answer(unique, os.pread(content, length, offset))
        waiting = []
        continue
    request = os.read(fuse, 1 << 20)
    _, opcode, unique, inode = struct.unpack_from('IIQQ', request)
    body = request[40:]
    if opcode == 26:  # INIT with FUSE_ASYNC_READ
        answer(unique, struct.pack('IIIIHHIIHHI7I', 7, 31, 65536, 1, 12, 10, 65536, 1, 16, 0, 0, *[0] * 7))
    elif opcode == 1:  # LOOKUP
        if body.split(b'\0')[0] == b'disk':
            answer(unique, struct.pack('QQQQII', 2, 0, 0, 0, 0, 0) + attributes(2))
        else:
            answer(unique, error=errno.ENOENT)
    elif opcode == 3:  # GETATTR
        answer(unique, struct.pack('QII', 0, 0, 0) + attributes(inode))
    elif opcode == 14:  # OPEN with FOPEN_DIRECT_IO: nothing is read ahead or kept
        answer(unique, struct.pack('QII', 0, 1, 0))
    elif opcode == 27:  # OPENDIR
        answer(unique, struct.pack('QII', 0, 0, 0))
    elif opcode == 15:  # READ
        offset, length = struct.unpack_from('8xQI', body)
        if offset >= end or offset + length <= start:
            answer(unique, os.pread(content, length, offset))
        elif how == 'eio':
            answer(unique, error=errno.EIO)
        else:
            waiting.append((unique, offset, length))
    elif opcode == 28:  # READDIR
        answer(unique)
    elif opcode in (18, 29, 25, 20):  # RELEASE, RELEASEDIR, FLUSH, FSYNC
        answer(unique)
    elif opcode not in (2, 36, 42):  # FORGET, INTERRUPT, BATCH_FORGET have no answer
        answer(unique, error=errno.ENOSYS)
