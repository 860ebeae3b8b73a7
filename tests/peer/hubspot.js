// HubSpot's own client at work in the local HubSpot: makes contacts, upserts, searches and merges, reads
// what the sync wrote, and signs a webhook. What it finds it says as JSON on its one line.

import { request } from "node:http";
import { Client, Signature } from "@hubspot/api-client";

const { HUBSPOT_URL, HUBSPOT_TOKEN, WEBHOOK_URL, CLIENT_SECRET, USER_ID } = process.env;

const hubspot = new Client({ accessToken: HUBSPOT_TOKEN, basePath: HUBSPOT_URL, numberOfApiCallRetries: 0 });
const { basicApi, batchApi, searchApi } = hubspot.crm.contacts;

async function synced() {
  const inputs = [{ id: USER_ID }];
  const properties = ["firstname", "email", "rollcall_user_id"];
  const read = await batchApi.read({ inputs, properties, propertiesWithHistory: [], idProperty: "rollcall_user_id" });
  return read.results[0];
}

async function worked() {
  const made = await basicApi.create({ properties: { email: "peer@elsewhere.example", firstname: "Peer" }, associations: [] });
  const input = (email, trace) => ({
    id: email,
    idProperty: "email",
    properties: { email, lastname: "Upserted" },
    objectWriteTraceId: trace,
  });
  const upserted = await batchApi.upsert({
    inputs: [input("peer@elsewhere.example", "one"), input("other@elsewhere.example", "two")],
  });
  const refused = await basicApi
    .create({ properties: { email: "peer@elsewhere.example" }, associations: [] })
    .then(() => null, (error) => ({ status: error.code, category: error.body.category }));
  const filters = [{ propertyName: "lastname", operator: "EQ", value: "Upserted" }];
  const found = await searchApi.doSearch({ filterGroups: [{ filters }], properties: ["email"], limit: 10 });
  const ids = Object.fromEntries(upserted.results.map((result) => [result.objectWriteTraceId, result.id]));
  const merged = await hubspot.crm.contacts.basicApi.merge({ primaryObjectId: ids.one, objectIdToMerge: ids.two });
  const survivor = await basicApi.getById(ids.two, ["email", "hs_additional_emails"]);
  return { made: made.id, upserted: ids, found: found.total, refused, merged: merged.id, survivor };
}

function post(url, body, headers) {
  return new Promise((resolve, reject) => {
    const call = request(url, { method: "POST", headers }, (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode));
    });
    call.on("error", reject);
    call.end(body);
  });
}

async function told(contact) {
  const timestamp = Date.now();
  const requestBody = JSON.stringify([
    {
      eventId: 1,
      subscriptionId: 1,
      portalId: 1,
      appId: 1,
      occurredAt: timestamp,
      subscriptionType: "contact.propertyChange",
      objectId: Number(contact),
      propertyName: "firstname",
      propertyValue: "Eve",
      changeSource: "CRM_UI",
      sourceId: "userId:1",
    },
  ]);
  const signed = { clientSecret: CLIENT_SECRET, url: WEBHOOK_URL, requestBody, timestamp };
  const signature = Signature.getSignature("POST", "v3", signed);
  return post(WEBHOOK_URL, requestBody, {
    "content-type": "application/json",
    "x-hubspot-request-timestamp": timestamp,
    "x-hubspot-signature-v3": signature,
  });
}

const contact = await synced();
const work = await worked();
console.log(JSON.stringify({ contact, ...work, webhook: await told(contact.id) }));
