// What others did to oneself, in sentences: changes of one's own entry come in, what the notice bar should say goes
// out. What one did oneself is no news.

import type { ParticipantField, Role } from "@tercet/sdk";

export interface Me {
  role: Role;
  muted: boolean;
  screenMuted: boolean;
  cameraMuted: boolean;
  screenVideoMuted: boolean;
  handRaised: boolean;
}

/** `kind`: one notice of each is shown. A `null` sentence takes back what was said. */
export interface News {
  kind: "muted" | "screen" | "screen-video" | "camera" | "role" | "hand";
  sentence: string | null;
}

export function newsOfMe(
  me: Me,
  before: Role,
  changed: ReadonlySet<ParticipantField>,
  asked: ReadonlySet<ParticipantField>,
): News[] {
  const news: News[] = [];
  if (changed.has("role")) news.push({ kind: "role", sentence: sentenceOfRole(me.role, before) });
  if (changed.has("muted")) {
    const byOthers = me.muted && !asked.has("muted");
    news.push({ kind: "muted", sentence: byOthers ? "A moderator muted you." : null });
  }
  if (changed.has("screenMuted")) {
    const byOthers = me.screenMuted && !asked.has("screenMuted");
    news.push({
      kind: "screen",
      sentence: byOthers ? "A moderator silenced the sound that you share." : null,
    });
  }
  if (changed.has("screenVideoMuted")) {
    const byOthers = me.screenVideoMuted && !asked.has("screenVideoMuted");
    const sentence = byOthers ? "A moderator stopped the screen that you shared." : null;
    news.push({ kind: "screen-video", sentence });
  }
  if (changed.has("cameraMuted")) {
    const byOthers = me.cameraMuted && !asked.has("cameraMuted");
    news.push({ kind: "camera", sentence: byOthers ? "A moderator turned your camera off." : null });
  }
  // A promotion lowers the hand too, which got what it was raised for.
  if (changed.has("handRaised")) {
    const byOthers = !me.handRaised && !asked.has("handRaised") && !changed.has("role");
    news.push({ kind: "hand", sentence: byOthers ? "A moderator lowered your hand." : null });
  }
  return news;
}

/** What a promotion to speaker offers is more than a sentence: the room view says it. */
function sentenceOfRole(role: Role, before: Role): string | null {
  if (role === "moderator") return "You are a moderator now.";
  if (role === "listener") return "A moderator made you a listener. Raise your hand to speak.";
  return before === "moderator" ? "You are no longer a moderator." : null;
}
