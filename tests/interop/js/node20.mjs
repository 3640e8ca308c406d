// SPDX-License-Identifier: MIT

// js-libp2p asks for Node 22; of what that adds it uses this one.
Promise.withResolvers ??= function () {
  const parts = {}
  parts.promise = new this((resolve, reject) => Object.assign(parts, { resolve, reject }))
  return parts
}
