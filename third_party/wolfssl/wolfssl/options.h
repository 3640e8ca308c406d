/* SPDX-License-Identifier: MIT */
/* Empty on purpose: all settings are in user_settings.h.  Upstream headers include this one. */
#pragma once
