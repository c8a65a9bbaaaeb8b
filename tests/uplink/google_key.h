/* A key made for the tests alone, and what Google's library for Python (google-auth 2.63.0) signs with it. */
#ifndef WEIR_TESTS_UPLINK_GOOGLE_KEY_H
#define WEIR_TESTS_UPLINK_GOOGLE_KEY_H

#define GOOGLE_KEY_PEM \
    "-----BEGIN PRIVATE KEY-----\n" \
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCrunQxnaCdIm/H\n" \
    "TgRw3h94+3+A3ruY0VKUr8NHdtqbMW1yh8xvJ8xIZXMKYauyVbg/lfu9oNLQKj3t\n" \
    "FedpW54uC7V23YVen3ZK/Gb9AJWjbnYjVnAHk8/dJGvsNcEeRkdA5GKLKv8TUNKb\n" \
    "PodZQtRQHn9ysN0iCBKgrbvGgqqqyBB+irXhdftlyQ90gEWVFnU/+SQPiebXNUUN\n" \
    "fRJWdDjRkQCh5GcdMZN6oCjwLjBu8hCj8xbFZ55HYLKMQQDzQknWajh9IaX83yEt\n" \
    "s3TwuSI8KkSx07Rb3/tCfGfvIrAP+Tpv4NMreS8ANWrbKrVbvnhU+pTEHhEg7I/J\n" \
    "dLx4fa99AgMBAAECggEAKGl314c3GVNVx6qp69+xu1g/8JU5w2QbEWdtRn+HQTc4\n" \
    "ANhJOS096xmIoXxLmeuHMNt8Qus6QQd3zDe33fjT+BUETqUhshtHjKzqFYbSMAQa\n" \
    "JAW+1mGn7GwaQ5uAxz2VngVA1Ww4W5TNAwCLfGt4KCSNLHHHkC8jJxHLWxM703Vf\n" \
    "TM6Op5d93+hbMXlwAnvJdnDb8BCSld4X9zMJCIx+afpQD2QA9PoMlkIpobqjNDqL\n" \
    "AIgEuxz6I09+tiBcu+J81/VyuecDVeG23VwdRfWYtt6o1onrX+UI0sxNtyAYmiVh\n" \
    "fn6nB/f6x/NtKDSkKAP/W7idF86QtuwJxRhu7SarwQKBgQDhr7W+q8xrKGdAzlGT\n" \
    "yDqiAXStSzfxSIFIf5L0muVivYFD0qwToU9u9/5SFVbGONRDl8nhSqDkonnZWm1F\n" \
    "5p0y/0Bm0utmKud0/JeAX97YI0NwWMegtE/cUldXMwjBa5fskM0wPxBCIC0lT9dW\n" \
    "kFlYQQBOWOFOyngjQpfu/95OXQKBgQDCy2GztPEn8Ns0B/c2VDYZtCZscYgnIbfy\n" \
    "vUnUxRGc8dSPn434yWBT/socTrDKMrOBMDKEQ+EntUqK2mG0jhbn10hzGicGIbV2\n" \
    "gk/9yzFGNrDe3k8Y4MgbJ/+s9WeUQX/YIKhMOWecHP05IDtBCbjg1w0PYKT8E/Z5\n" \
    "kk3iQHuToQKBgQDPEQotsS7TOrTRrvsGHnY9YhyNSzA+vwlvXS2WI/BG0hyh/89G\n" \
    "C4D4Da1X3qBJKqcGhWQCwxgv7iriE6eitN6ShcOvE+JLUR4gJglTDaNGp8QedjZi\n" \
    "6k1DloDwTrC/1loEAS9iDtp58U+6pjCrCbIP2UPQnpfKVNY5c8Y20KhFOQKBgF4E\n" \
    "7FNgskUk66hhb+C5JKOjYChXY+//RlnTIx+fPrERyBbKXCwIhoYEJGklUg9GCX4B\n" \
    "VWChorsXtbLvVNlg+41LS5zCsrMy8fMRUqqcuFu7agMoKeVIGU2CMNW6XRQhySL4\n" \
    "IEMqMegX1eEMvYzWtHVRVuxlKTzCJeTnyM+7b+oBAoGAHq0A61Xn2+ep5BeqjPyl\n" \
    "jx8A8hI9Eni2Pc01LTmC3n7jzbFUfPs93v87j2lEk6Wi3Ru/eyKGoYCLYt+WA7rQ\n" \
    "pJYbGfrtNIg3yZ7lwpMUgpByoCjqwPDYBoaFv+ElNr2R8IoxGJwXUHqNWBnXute1\n" \
    "G/WO0hhm530vz2O3gRHNkSw=\n" \
    "-----END PRIVATE KEY-----\n"
/* The same within a JSON text. */
#define GOOGLE_KEY_JSON \
    "-----BEGIN PRIVATE KEY-----\\n" \
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCrunQxnaCdIm/H\\n" \
    "TgRw3h94+3+A3ruY0VKUr8NHdtqbMW1yh8xvJ8xIZXMKYauyVbg/lfu9oNLQKj3t\\n" \
    "FedpW54uC7V23YVen3ZK/Gb9AJWjbnYjVnAHk8/dJGvsNcEeRkdA5GKLKv8TUNKb\\n" \
    "PodZQtRQHn9ysN0iCBKgrbvGgqqqyBB+irXhdftlyQ90gEWVFnU/+SQPiebXNUUN\\n" \
    "fRJWdDjRkQCh5GcdMZN6oCjwLjBu8hCj8xbFZ55HYLKMQQDzQknWajh9IaX83yEt\\n" \
    "s3TwuSI8KkSx07Rb3/tCfGfvIrAP+Tpv4NMreS8ANWrbKrVbvnhU+pTEHhEg7I/J\\n" \
    "dLx4fa99AgMBAAECggEAKGl314c3GVNVx6qp69+xu1g/8JU5w2QbEWdtRn+HQTc4\\n" \
    "ANhJOS096xmIoXxLmeuHMNt8Qus6QQd3zDe33fjT+BUETqUhshtHjKzqFYbSMAQa\\n" \
    "JAW+1mGn7GwaQ5uAxz2VngVA1Ww4W5TNAwCLfGt4KCSNLHHHkC8jJxHLWxM703Vf\\n" \
    "TM6Op5d93+hbMXlwAnvJdnDb8BCSld4X9zMJCIx+afpQD2QA9PoMlkIpobqjNDqL\\n" \
    "AIgEuxz6I09+tiBcu+J81/VyuecDVeG23VwdRfWYtt6o1onrX+UI0sxNtyAYmiVh\\n" \
    "fn6nB/f6x/NtKDSkKAP/W7idF86QtuwJxRhu7SarwQKBgQDhr7W+q8xrKGdAzlGT\\n" \
    "yDqiAXStSzfxSIFIf5L0muVivYFD0qwToU9u9/5SFVbGONRDl8nhSqDkonnZWm1F\\n" \
    "5p0y/0Bm0utmKud0/JeAX97YI0NwWMegtE/cUldXMwjBa5fskM0wPxBCIC0lT9dW\\n" \
    "kFlYQQBOWOFOyngjQpfu/95OXQKBgQDCy2GztPEn8Ns0B/c2VDYZtCZscYgnIbfy\\n" \
    "vUnUxRGc8dSPn434yWBT/socTrDKMrOBMDKEQ+EntUqK2mG0jhbn10hzGicGIbV2\\n" \
    "gk/9yzFGNrDe3k8Y4MgbJ/+s9WeUQX/YIKhMOWecHP05IDtBCbjg1w0PYKT8E/Z5\\n" \
    "kk3iQHuToQKBgQDPEQotsS7TOrTRrvsGHnY9YhyNSzA+vwlvXS2WI/BG0hyh/89G\\n" \
    "C4D4Da1X3qBJKqcGhWQCwxgv7iriE6eitN6ShcOvE+JLUR4gJglTDaNGp8QedjZi\\n" \
    "6k1DloDwTrC/1loEAS9iDtp58U+6pjCrCbIP2UPQnpfKVNY5c8Y20KhFOQKBgF4E\\n" \
    "7FNgskUk66hhb+C5JKOjYChXY+//RlnTIx+fPrERyBbKXCwIhoYEJGklUg9GCX4B\\n" \
    "VWChorsXtbLvVNlg+41LS5zCsrMy8fMRUqqcuFu7agMoKeVIGU2CMNW6XRQhySL4\\n" \
    "IEMqMegX1eEMvYzWtHVRVuxlKTzCJeTnyM+7b+oBAoGAHq0A61Xn2+ep5BeqjPyl\\n" \
    "jx8A8hI9Eni2Pc01LTmC3n7jzbFUfPs93v87j2lEk6Wi3Ru/eyKGoYCLYt+WA7rQ\\n" \
    "pJYbGfrtNIg3yZ7lwpMUgpByoCjqwPDYBoaFv+ElNr2R8IoxGJwXUHqNWBnXute1\\n" \
    "G/WO0hhm530vz2O3gRHNkSw=\\n" \
    "-----END PRIVATE KEY-----\\n"
/* kid test-key-1, iat 1792584000, for weir@p1.iam.gserviceaccount.com. */
#define GOOGLE_JWT_AUDIENCE \
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InRlc3Qta2V5LTEifQ.eyJpc3MiOiJ3Z" \
    "WlyQHAxLmlhbS5nc2VydmljZWFjY291bnQuY29tIiwic3ViIjoid2VpckBwMS5pYW0uZ3NlcnZpY" \
    "2VhY2NvdW50LmNvbSIsImF1ZCI6Imh0dHBzOi8vcHVic3ViLmdvb2dsZWFwaXMuY29tLyIsImlhd" \
    "CI6MTc5MjU4NDAwMCwiZXhwIjoxNzkyNTg3NjAwfQ.IyHgfBcA20HLF6fC_Q4HuVxReyX6_2VXlP" \
    "1Rra-Nvyv3KSQ0BzNPf1d1hYJzNxBQV1vR2Psi3wJ56XNOOSaIDp3q0TRmIlpocdZdpBbz7dHxFN" \
    "X170LYh5EJ0o_V78f9kEci70gfhutMJDsCFNb0rHkCMZuhBSSwfbeT2hswzgIHcJfJwpV3jCc0J8" \
    "HEtEZmOj24E3kKiTVQJFu4YTywrmZh35B2FKpbRLxDjHyY6Zp0WLhwDJrf3d3GT9WwpUma-Maol0" \
    "4gfhBXei9ALOsgU8dabYnI6Cm3s5mWKdSpIxUAuLNdgoMtiA29vmZjBTqUX02OKKFWCSft369iEf" \
    "NYBw"
#define GOOGLE_JWT_SCOPE \
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InRlc3Qta2V5LTEifQ.eyJpc3MiOiJ3Z" \
    "WlyQHAxLmlhbS5nc2VydmljZWFjY291bnQuY29tIiwic3ViIjoid2VpckBwMS5pYW0uZ3NlcnZpY" \
    "2VhY2NvdW50LmNvbSIsInNjb3BlIjoiaHR0cHM6Ly93d3cuZ29vZ2xlYXBpcy5jb20vYXV0aC9kZ" \
    "XZzdG9yYWdlLnJlYWRfd3JpdGUiLCJpYXQiOjE3OTI1ODQwMDAsImV4cCI6MTc5MjU4NzYwMH0.c" \
    "yLyZaYd-n3qyJ3ulNNL-uf-uxSUbyHDyJ0XO4Le6q1thMEo3acX8wgjdLBR-qNyU9FyTEQ_wu_62" \
    "NGTxdaYLYYRnyWaaPEAcSrAU3Qt6LMGwhO7Qi0M0hHDkjoVQjJ0Nv2jHTKe9cL9k7KCHYlKBgouH" \
    "rkWyJ3cCrU4EJkGF23i18UYCi4B8x9ZfdUgPiaJsSnRLqVeYgCMqfda5tVVCCvhPWvxrJrZdiHf3" \
    "k-bWMVg9pFOu5sfDM3db5Gh6oG2QJQF71GxsByeLTJrsldLQh12TSOF_sAivtW0F3oZUXc9Hu8K8" \
    "hkWIo8zoM7DFlmMo4y8E92Th4Qc5pHpBgoh9A"

#endif
