// Verify requests of a receiver's journal as their receivers would.
//
// usage: node verify.js CHECKER SECRET <JOURNAL
//
// CHECKER is "standardwebhooks" or "svix" (found through NODE_PATH), or a file
// that defines verifySignature(payload, signature, secret) or
// verifyRequest(rawBody, headers, secret).  One line for each request: its id
// and "good", or "bad" and why; and one for the same request with a changed
// body, whose id ends in "/changed".
'use strict';

const fs = require('fs');

const [, , name, secret] = process.argv;

function library() {
    const { Webhook } = require(name);

    return (body, headers) => new Webhook(secret).verify(body, headers);
}

// The text of a file, as it stands, with the functions it declares.
function sample() {
    const declare = new Function('require',
        fs.readFileSync(name, 'utf8') +
        '\nreturn typeof verifyRequest === "undefined" ? { verifySignature }' +
        ' : { verifyRequest };');
    const { verifySignature, verifyRequest } = declare(require);

    if (verifyRequest)
        return (body, headers) => verifyRequest(body, headers, secret);
    return (body, headers) => {
        if (!verifySignature(body, headers['x-jasper-signature'], secret))
            throw new Error('the signature does not match');
    };
}

const check = name.endsWith('.js') ? sample() : library();

function judge(id, body, headers) {
    let verdict = 'good';

    try {
        check(body, headers);
    } catch (error) {
        verdict = `bad ${error.message}`;
    }
    console.log(`${id} ${verdict}`);
}

for (const line of fs.readFileSync(0, 'utf8').split('\n').filter(Boolean)) {
    const { id, body, headers: pairs } = JSON.parse(line);
    const headers = Object.fromEntries(
        pairs.map(([key, value]) => [key.toLowerCase(), value]));

    judge(id, body, headers);
    judge(`${id}/changed`, body.replace('"data"', '"Data"'), headers);
}
