// Lines of mount tables, as proc_pid_mountinfo(5) shows them and as nobody should write them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { mountLines, parseMountLine, superOption } from '../../../agent/host/mountinfo.ts';

test('a line with optional fields, and one that is none', () => {
  const mount = parseMountLine(
    '36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue',
  );
  assert.deepEqual(mount, {
    id: '36',
    parent: '35',
    device: '98:0',
    root: '/mnt1',
    point: '/mnt2',
    options: 'rw,noatime',
    type: 'ext3',
    source: '/dev/root',
    superOptions: 'rw,errors=continue',
  });
  assert.equal(parseMountLine('nonsense'), undefined);
});

test('a pinned namespace is read from a mount table, its path with what mountinfo escapes', () => {
  const mount = parseMountLine('100 23 0:4 net:[4026532281] /run/netns/a\\040b rw shared:5 - nsfs nsfs rw');
  assert.deepEqual(
    [mount?.root, mount?.point, mount?.type, mount?.superOptions],
    ['net:[4026532281]', '/run/netns/a b', 'nsfs', 'rw'],
  );
});

test('a source that is empty or looks like a separator moves no field', () => {
  assert.deepEqual(
    ['', '-'].map((source) => parseMountLine(`1 0 0:9 / /a rw - tmpfs ${source} rw`)?.superOptions),
    ['rw', 'rw'],
  );
});

test("an option's value is what follows its own name, its escapes taken back", () => {
  const mount = parseMountLine('1 0 0:9 / /a rw - overlay overlay rw,lowerdir=/x,upperdir=/a\\040b,workdir=/w');
  assert.ok(mount);
  assert.equal(superOption(mount, 'upperdir'), '/a b');
  assert.equal(superOption(mount, 'dir'), undefined);
});

test('no more lines than the limit, those that are none left out', () => {
  const line = '1 0 0:9 / /a rw - tmpfs tmpfs rw\n';
  assert.equal([...mountLines(`${line}nonsense\n${line}${line}`, 2)].length, 2);
});

test('property: a point of any bytes comes back as it was', () => {
  const escaped = (name: string) =>
    name.replace(/[ \t\n\\#]/g, (found) => `\\${found.charCodeAt(0).toString(8).padStart(3, '0')}`);
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1 }), (bytes) => {
      const point = `/${Buffer.from(bytes).toString('latin1').replaceAll('\0', '')}`;
      assert.equal(parseMountLine(`1 0 0:9 / ${escaped(point)} rw - tmpfs tmpfs rw`)?.point, point);
    }),
  );
});
