// What is in an image, as SPDX 2.3 (https://spdx.github.io/spdx-spec/v2.3/): Debian's packages, npm's, and Node.
import { createHash } from 'node:crypto';
import type { NpmPackage } from './application.ts';
import { type DebianPackage, fieldsOf } from './debian.ts';

export interface Contents {
  readonly debian: readonly DebianPackage[];
  readonly npm: readonly NpmPackage[];
  /** Version of Node. */
  readonly node: string;
}

export interface Described {
  readonly name: string;
  readonly version: string;
  readonly created: Date;
}

interface SpdxPackage {
  readonly SPDXID: string;
  readonly name: string;
  readonly versionInfo: string;
  readonly supplier: string;
  readonly downloadLocation: 'NOASSERTION';
  readonly filesAnalyzed: false;
  readonly licenseConcluded: 'NOASSERTION';
  readonly licenseDeclared: string;
  readonly copyrightText: 'NOASSERTION';
  readonly primaryPackagePurpose: string;
  readonly sourceInfo?: string;
  readonly checksums?: readonly object[];
  readonly externalRefs: readonly object[];
}

const NONE = 'NOASSERTION';
/** Licences of npm packages that are one identifier, or identifiers joined; others are not read. */
const EXPRESSION = /^\(?[A-Za-z0-9.+-]+( (AND|OR|WITH) [A-Za-z0-9.+-]+)*\)?$/;
const NOT_LICENCES = /^(UNLICENSED|SEE LICENSE.*)$/i;

/** The same contents make the same document, byte by byte. */
export function spdx({ name, version, created }: Described, { debian, npm, node }: Contents): object {
  const image = describe('image', name, version, `pkg:oci/${name}?tag=${version}`, 'CONTAINER');
  const packages = [
    describe('nodejs', 'nodejs', node, `pkg:generic/nodejs@${node}`, 'APPLICATION', { license: 'MIT' }),
    ...debian.map(ofDebian),
    ...npm.map(ofNpm),
  ];
  const unique = [...new Map(packages.map((one) => [one.SPDXID, one])).values()];
  const digest = createHash('sha256')
    .update(JSON.stringify([image, unique]))
    .digest('hex');
  return {
    spdxVersion: 'SPDX-2.3',
    dataLicense: 'CC0-1.0',
    SPDXID: 'SPDXRef-DOCUMENT',
    name: `${name}-${version}`,
    documentNamespace: `https://impound.dev/spdx/${name}-${version}-${digest}`,
    creationInfo: {
      created: created.toISOString().replace(/\.\d+Z$/, 'Z'),
      creators: ['Organization: Impound', `Tool: impound-image-${version}`],
    },
    packages: [image, ...unique],
    relationships: [
      relationship('SPDXRef-DOCUMENT', 'DESCRIBES', image.SPDXID),
      ...unique.map(({ SPDXID }) => relationship(image.SPDXID, 'CONTAINS', SPDXID)),
    ],
  };
}

function ofDebian({ name, only }: DebianPackage): SpdxPackage {
  const fields = ['Version', 'Architecture', 'source:Package', 'source:Version'];
  const [version = '', architecture = '', source = '', sourceVersion = ''] = fieldsOf(name, ...fields);
  const purl = `pkg:deb/debian/${encode(name)}@${encode(version)}?arch=${architecture}`;
  const part = only.length === 0 ? '' : `; of this package, ${only.join(' ')} only`;
  const info = `built from ${source} ${sourceVersion}${part}`;
  const more = { supplier: 'Organization: Debian', info };
  return describe(`deb-${name}`, name, version, purl, 'LIBRARY', more);
}

function ofNpm({ name, version, license, integrity }: NpmPackage): SpdxPackage {
  const purl = `pkg:npm/${name.split('/').map(encode).join('/')}@${encode(version)}`;
  return describe(`npm-${name}-${version}`, name, version, purl, 'LIBRARY', { license, integrity });
}

interface More {
  readonly supplier?: string;
  readonly license?: string | undefined;
  readonly integrity?: string | undefined;
  readonly info?: string;
}

function describe(
  id: string,
  name: string,
  version: string,
  purl: string,
  purpose: string,
  { supplier = NONE, license = NONE, integrity, info }: More = {},
): SpdxPackage {
  const declared = EXPRESSION.test(license) && !NOT_LICENCES.test(license) ? license : NONE;
  const checksum = integrity?.startsWith('sha512-')
    ? [{ algorithm: 'SHA512', checksumValue: Buffer.from(integrity.slice(7), 'base64').toString('hex') }]
    : undefined;
  return {
    SPDXID: `SPDXRef-${id.replace(/[^A-Za-z0-9.-]/g, '-')}`,
    name,
    versionInfo: version,
    supplier,
    downloadLocation: NONE,
    filesAnalyzed: false,
    licenseConcluded: NONE,
    licenseDeclared: declared,
    copyrightText: NONE,
    primaryPackagePurpose: purpose,
    ...(info === undefined ? {} : { sourceInfo: info }),
    ...(checksum === undefined ? {} : { checksums: checksum }),
    externalRefs: [{ referenceCategory: 'PACKAGE-MANAGER', referenceType: 'purl', referenceLocator: purl }],
  };
}

function relationship(from: string, type: string, to: string): object {
  return { spdxElementId: from, relationshipType: type, relatedSpdxElement: to };
}

/** As in a package URL: an @ within a name is no separator. */
function encode(text: string): string {
  return encodeURIComponent(text).replace(/%3A/g, ':');
}
