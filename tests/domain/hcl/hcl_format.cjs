// Formats HCL with HashiCorp's own formatter: a JSON string a line in, a JSON string a line out.
const { createInterface } = require("node:readline");
const { format } = require("@cdktf/hcl-tools");

async function main() {
  for await (const line of createInterface({ input: process.stdin })) {
    process.stdout.write(JSON.stringify(await format(JSON.parse(line))) + "\n");
  }
  process.exit(0);
}

main();
