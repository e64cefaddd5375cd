"""A FUSE file system of one folder, for tests: each file of DIRECTORY, and reading the file NAME never comes back.

usage: stuck_filesystem.py MOUNTPOINT DIRECTORY NAME     needs root and /dev/fuse; prints "ready"; ends with its stdin
"""
import ctypes, errno, os, select, stat, struct, sys

mountpoint, directory, stuck = sys.argv[1:]
names = ['', ''] + sorted(os.listdir(directory))  # inode number is the index; 1 is the root
content = [b'', b''] + [open(os.path.join(directory, name), 'rb').read() for name in names[2:]]

fuse = os.open('/dev/fuse', os.O_RDWR)
libc = ctypes.CDLL(None, use_errno=True)
options = ('fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other' % fuse).encode()
if libc.mount(b'stuck', mountpoint.encode(), b'fuse', 0, options) != 0:
    sys.exit('mount: ' + os.strerror(ctypes.get_errno()))


def attributes(inode):
    mode = stat.S_IFDIR | 0o555 if inode == 1 else stat.S_IFREG | 0o444
    return struct.pack('QQQQQQIIIIIIIIII', inode, len(content[inode]), 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def answer(unique, body=b'', error=0):
    os.write(fuse, struct.pack('IiQ', 16 + len(body), -error, unique) + body)


print('ready', flush=True)
while True:
    readable, _, _ = select.select([fuse, sys.stdin], [], [])
    if sys.stdin in readable:
        libc.umount2(mountpoint.encode(), 2)
        sys.exit(0)  # closing /dev/fuse ends what still waits, with ENOTCONN
    request = os.read(fuse, 1 << 20)
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
    elif opcode in (14, 27):  # OPEN, OPENDIR
        answer(unique, struct.pack('QII', 0, 0, 0))
    elif opcode == 15:  # READ
        offset, size = struct.unpack_from('8xQI', body)
        if names[inode] != stuck:
            answer(unique, content[inode][offset:offset + size])
    elif opcode == 28:  # READDIR
        answer(unique)
    elif opcode in (18, 29, 25):  # RELEASE, RELEASEDIR, FLUSH
        answer(unique)
    elif opcode not in (2, 36, 42):  # FORGET, INTERRUPT, BATCH_FORGET have no answer
        answer(unique, error=errno.ENOSYS)
