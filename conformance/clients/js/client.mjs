// One task of the matrix: node client.mjs OPERATION ENDPOINT BUCKET KEY FILE [DETAIL]. Prints a JSON object.
// DETAIL is the source key of a copy and the range of a ranged get. Keys and checksum modes: the environment.

import { createReadStream, createWriteStream } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { PassThrough, Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { CopyObjectCommand, GetObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

const PART = 5 * 1024 * 1024;
const [operation, endpoint, Bucket, Key, file, detail] = process.argv.slice(2);
const client = new S3Client({ endpoint, region: "us-east-1", forcePathStyle: true, maxAttempts: 1 });

async function upload(Body) {
  const { ETag } = await new Upload({ client, params: { Bucket, Key, Body }, partSize: PART }).done();
  return { ETag };
}

async function fetched(url, options) {
  const answer = await fetch(url, options);
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
  return answer;
}

const tasks = {
  async put() {
    const { ETag } = await client.send(new PutObjectCommand({ Bucket, Key, Body: await readFile(file) }));
    return { ETag };
  },
  // A pipe has no length to ask for.
  stream: () => upload(createReadStream(file).pipe(new PassThrough())),
  multipart: async () => upload(await readFile(file)),
  async copy() {
    const command = new CopyObjectCommand({ Bucket, Key, CopySource: `${Bucket}/${encodeURIComponent(detail)}` });
    return { ETag: (await client.send(command)).CopyObjectResult.ETag };
  },
  async ranged_get() {
    const found = await client.send(new GetObjectCommand({ Bucket, Key, Range: detail }));
    await pipeline(found.Body, createWriteStream(file));
    return { ETag: found.ETag };
  },
  async presigned_put() {
    const url = await getSignedUrl(client, new PutObjectCommand({ Bucket, Key }), { expiresIn: 600 });
    // A stream as the body makes fetch send Transfer-Encoding: chunked.
    await fetched(url, { method: "PUT", body: Readable.toWeb(createReadStream(file)), duplex: "half" });
    return { url };
  },
  async presigned_get() {
    const url = await getSignedUrl(client, new GetObjectCommand({ Bucket, Key }), { expiresIn: 600 });
    await writeFile(file, Buffer.from(await (await fetched(url)).arrayBuffer()));
    return { url };
  },
};

console.log(JSON.stringify(await tasks[operation]()));
