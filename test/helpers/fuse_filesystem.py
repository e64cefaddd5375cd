"""A FUSE file system of one folder with a file that cannot be read, for tests. Needs root and /dev/fuse.

usage: fuse_filesystem.py stuck MOUNTPOINT DIRECTORY NAME
           each file of DIRECTORY; reading the file NAME never comes back
       fuse_filesystem.py failing MOUNTPOINT FILE START END eio|hang
           FILE as "disk"; reads that touch START..END fail or never return, until a line "heal" on stdin makes the range
           readable, and answers what waits

Prints "ready"; ends with its stdin.
"""
import ctypes, errno, os, select, stat, struct, sys

OPEN_DIRECT_IO = 1  # FOPEN_DIRECT_IO: nothing is read ahead or kept
behaviour, mountpoint, source, *rest = sys.argv[1:]
if behaviour == 'stuck':
    names = sorted(os.listdir(source))
    paths = [os.path.join(source, name) for name in names]
    bad, start, end, how, open_flags = rest[0], 0, 1 << 64, 'hang', 0
else:
    names, paths = ['disk'], [source]
    bad, start, end, how, open_flags = 'disk', int(rest[0]), int(rest[1]), rest[2], OPEN_DIRECT_IO
names = ['', ''] + names  # inode number is the index; 1 is the root
content = [-1, -1] + [os.open(path, os.O_RDONLY) for path in paths]
waiting = []

fuse = os.open('/dev/fuse', os.O_RDWR)
libc = ctypes.CDLL(None, use_errno=True)
options = ('fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other' % fuse).encode()
if libc.mount(behaviour.encode(), mountpoint.encode(), b'fuse', 0, options) != 0:
    sys.exit('mount: ' + os.strerror(ctypes.get_errno()))


def attributes(inode):
    mode = stat.S_IFDIR | 0o555 if inode == 1 else stat.S_IFREG | 0o444
    size = 0 if inode == 1 else os.fstat(content[inode]).st_size
    return struct.pack('QQQQQQIIIIIIIIII', inode, size, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def answer(unique, body=b'', error=0):
    os.write(fuse, struct.pack('IiQ', 16 + len(body), -error, unique) + body)


def read(unique, inode, offset, length):
    if names[inode] != bad or offset >= end or offset + length <= start:
        answer(unique, os.pread(content[inode], length, offset))
    elif how == 'eio':
        answer(unique, error=errno.EIO)
    else:
        waiting.append((unique, inode, offset, length))


print('ready', flush=True)
while True:
    readable, _, _ = select.select([fuse, 0], [], [])
    if 0 in readable:
        if not os.read(0, 100).startswith(b'heal'):
            libc.umount2(mountpoint.encode(), 2)
            sys.exit(0)  # closing /dev/fuse ends what still waits, with ENOTCONN
        start = end = -1
        healed, waiting = waiting, []
        for one in healed:
            read(*one)
        continue
    try:
        request = os.read(fuse, 1 << 20)
    except OSError as error:
        sys.exit(0 if error.errno == errno.ENODEV else error)  # unmounted by another
    _, opcode, unique, inode = struct.unpack_from('IIQQ', request)
    body = request[40:]
    if opcode == 26:  # INIT, with FUSE_ASYNC_READ: who waits can be killed, as in a page fault on such a file
        answer(unique, struct.pack('IIIIHHIIHHI7I', 7, 31, 65536, 1, 12, 10, 65536, 1, 16, 0, 0, *[0] * 7))
    elif opcode == 1:  # LOOKUP
        name = body.split(b'\0')[0].decode()
        if name in names[2:]:
            found = names.index(name)
            answer(unique, struct.pack('QQQQII', found, 0, 0, 0, 0, 0) + attributes(found))
        else:
            answer(unique, error=errno.ENOENT)
    elif opcode == 3:  # GETATTR
        answer(unique, struct.pack('QII', 0, 0, 0) + attributes(inode))
    elif opcode == 14:  # OPEN
        answer(unique, struct.pack('QII', 0, open_flags, 0))
    elif opcode == 27:  # OPENDIR
        answer(unique, struct.pack('QII', 0, 0, 0))
    elif opcode == 15:  # READ
        read(unique, inode, *struct.unpack_from('8xQI', body))
    elif opcode == 28:  # READDIR
        answer(unique)
    elif opcode in (18, 29, 25, 20):  # RELEASE, RELEASEDIR, FLUSH, FSYNC
        answer(unique)
    elif opcode not in (2, 36, 42):  # FORGET, INTERRUPT, BATCH_FORGET have no answer
        answer(unique, error=errno.ENOSYS)
